"""Figures from elsewhere with their sources: published values, and measured rates of devices."""

from importlib.resources import files
from importlib.resources.abc import Traversable

PUBLISHED: Traversable = files(__name__) / "cifar10_bpd_published.csv"
PUBLISHED_BPD: Traversable = files(__name__) / "published_bpd.csv"
THROUGHPUT: Traversable = files(__name__) / "throughput.csv"

"""Figures from tidy tables and arrays; nothing here imports torch."""

import os

# Before any of them imports matplotlib: the user's backend may be none of this machine's.
os.environ["MPLBACKEND"] = "agg"

"""Figures from tidy tables and arrays; nothing here imports torch."""

import os

# Before any of them imports matplotlib: the user's backend may be none of this machine's. That of a
# notebook is a module of its own and stays.
if not os.environ.get("MPLBACKEND", "").startswith("module://"):
    os.environ["MPLBACKEND"] = "agg"

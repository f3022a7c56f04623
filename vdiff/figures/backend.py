"""matplotlib, drawing to files whatever backend the user's environment names."""

import os

_given = os.environ.pop("MPLBACKEND", None)  # it may be none of this machine's

import matplotlib as mpl  # noqa: E402

mpl.use("agg")
if _given is not None:
    os.environ["MPLBACKEND"] = _given

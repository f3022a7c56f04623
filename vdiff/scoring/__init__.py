"""Scores of files of examples under models of one's own: `score` is the command in Python.

model: where models come from; data: where examples come from; rows: the scores, and what is kept of
a killed run; out: the file that they are written to.
"""

from vdiff.scoring.rows import differences, score

__all__ = ["differences", "score"]

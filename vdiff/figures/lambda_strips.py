"""The two strips beside figure 5: lambda = 0 and lambda = 1 alone over ten columns."""

from vdiff.figures.lambda_grid import draw

__all__ = ["draw"]

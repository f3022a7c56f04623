"""Exact networks for the Gaussian of support.oracles, as networks of DDPM's table predict."""

import torch
from support.oracles import gaussian_x0
from torch import Tensor

PREDICTIONS = ("noise", "x0", "v")


def of_table(abar: Tensor, predicts: str):
    """net(y, t): the exact prediction at step t from 0 of a table, between steps with log NSR on a
    line, as vdiff asks it; y (B, ...), t (B,)."""

    def net(y: Tensor, t: Tensor) -> Tensor:
        gamma = torch.log((1 - abar.double()) / abar.double())
        k = t.double().floor().long().clamp(max=len(abar) - 2)
        between = gamma[k] + (t.double() - k) * (gamma[k + 1] - gamma[k])
        between = between.reshape(-1, *[1] * (y.ndim - 1))
        alpha, sigma = torch.sigmoid(-between).sqrt(), torch.sigmoid(between).sqrt()
        x0 = gaussian_x0(y.double(), alpha, sigma)
        eps = (y - alpha * x0) / sigma
        return {"noise": eps, "x0": x0, "v": alpha * eps - sigma * x0}[predicts].to(y)

    return net

"""What a training is after some iterations.

All randomness of a step is a function of (seed, iteration), so the state needs no generator:
iteration, weights, optimiser, EMA, the fitted law and the losses so far are all there is, and the
precision that they were computed in.
"""

import torch
from torch import Tensor, nn

from vdiff.config import Run
from vdiff.diffusion.fitted import Fitted
from vdiff.trained import sde_of_run
from vdiff.training.optimisers import optimiser_of


class State:
    """What a training is after some iterations. history: loss (nats) and bits/dim of each step."""

    def __init__(self, run: Run, network: nn.Module, device: str) -> None:
        t = run.training
        self.iteration = 0
        self.precision: str = t.precision
        self.network = network
        self.optimiser = optimiser_of(network, t)
        self.average: dict[str, Tensor] | None = None
        if t.ema:
            self.average = {k: v.clone() for k, v in network.state_dict().items()}
        self.fitted: Fitted | None = None
        if t.law == "fitted":
            self.fitted = Fitted.fresh(sde_of_run(run), run.sde.eps_t, device)
        self.history = torch.zeros(t.iterations, 2, dtype=torch.float64, device=device)

    def dump(self) -> dict:
        return {
            "iteration": self.iteration,
            "precision": self.precision,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "fitted": self.fitted and self.fitted.dump(),
            "history": self.history[: self.iteration],
        }

    def restore(self, saved: dict) -> None:
        self.iteration = saved["iteration"]
        self.precision = saved.get("precision", self.precision)
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.average is not None:
            for name, value in saved["average"].items():
                self.average[name].copy_(value)
        if self.fitted is not None:
            self.fitted.restore(saved["fitted"])
        self.history[: self.iteration] = saved["history"].to(self.history)

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights if there are any."""
        return dict(self.network.state_dict()) if self.average is None else self.average

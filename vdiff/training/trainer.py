"""One step of training: the DSM loss of a batch under a time distribution, and its gradient."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vdiff.config import Run
from vdiff.data import Data
from vdiff.diffusion.bits import bits_per_dim
from vdiff.diffusion.drift import Drift, autocast, in_precision
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.elbo import elbo_of_losses
from vdiff.diffusion.times import Debiased, TimeLaw, Uniform, stratified
from vdiff.errors import VdiffError
from vdiff.machine.captured import Captured
from vdiff.machine.devices import place
from vdiff.machine.parallel import Workers
from vdiff.machine.precision import usable
from vdiff.machine.seeds import generator
from vdiff.trained import drift_from, network_of, sde_of_run
from vdiff.training.state import State

REFIT_EVERY = 100  # iterations between two fits of the time distribution


class Trainer:
    """Takes steps. Of several workers, each has its share of every batch."""

    def __init__(self, run: Run, data: Data, workers: Workers, cache: Path) -> None:
        t, self.run, self.data, self.workers = run.training, run, data, workers
        self.sde = sde_of_run(run)
        self.debiased = Debiased(self.sde, run.sde.eps_t)
        self.paper: TimeLaw = self.debiased if run.debias else Uniform(self.sde.T)
        self.unbiased = Debiased.to_the_end(self.sde, run.sde.eps_t)
        network = place(network_of(run, data.shape), workers.accelerator)
        self.state = State(run, network, workers.device)
        self.batches = data.batches(run.seed, t.batch_size, t.flip, workers.device)
        self.weights = list(network.state_dict().values())
        # Both share the weights of `network`.
        self.shared = workers.wrap(network)
        compiling = t.compile not in (False, "graph")
        called = _compiled(self.shared, t.compile, cache) if compiling else self.shared
        self.exact = drift_from(called, run, data.level_counts, workers.device)
        self.checked = 0
        self.whole = data.batch(t.batch_size) * t.draws_per_image
        self.gradient: Callable[..., tuple[Tensor, Tensor]] = self._gradient
        if t.compile == "graph" and workers.size == 1:
            self.gradient = Captured(self._gradient)

    @property
    def a(self) -> Drift:
        """The network's drift, in the precision of the state."""
        return in_precision(self.exact, self.state.precision)

    def agree_on_precision(self) -> None:
        """That of a state that was begun, or what the slowest of the workers can use."""
        state, workers = self.state, self.workers
        precision = usable(state.precision, workers.accelerator, begun=state.iteration > 0)
        if workers.any(precision != state.precision):
            state.precision = "float32"

    def step(self) -> None:
        """One step of the optimiser; notes the batch's mean loss and bits/dim in the history."""
        state, t, workers = self.state, self.run.training, self.workers
        x, log_det, s, eps = (workers.share(v) for v in self.batch())
        totals, losses = self.gradient(x, log_det, s, eps, self.law.density(s))
        with autocast("cpu", state.precision):  # Muon's products; on GPUs always so
            state.optimiser.step(state.iteration)
        if state.average is not None:
            i = state.iteration
            decay = min(t.ema, (1 + i) / (10 + i)) if t.ema_warmup else t.ema
            torch._foreach_lerp_(list(state.average.values()), self.weights, 1 - decay)
        state.history[state.iteration] = workers.sum(totals) / self.whole
        state.iteration += 1
        if state.fitted is not None:
            state.fitted.see(s, losses, workers.sum)
            if state.iteration % REFIT_EVERY == 0:
                state.fitted.refit()

    def _gradient(
        self, x: Tensor, log_det: Tensor, s: Tensor, eps: Tensor, q: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums of loss and bits/dim, (2,), and the DSM losses (B,), of times s of density q (B,);
        their gradient is then the weights'."""
        t, workers = self.run.training, self.workers
        self.state.optimiser.zero_grad()
        totals = torch.zeros(2, dtype=torch.float64, device=workers.device)
        seen: list[Tensor] = []
        parts = [v.split(t.micro_batch or len(x)) for v in (x, log_det, s, eps, q)]
        for x, log_det, s, eps, q in zip(*parts, strict=True):
            with workers.between(self.shared, last=len(seen) + 1 == len(parts[0])):
                losses = dsm_loss(self.sde, self.a, x, s, eps)
                # Workers average their gradients; so it is right for unequal shares too.
                share = workers.size / self.whole
                ((self.weight(s, q) * losses).sum() * share).backward()
            with torch.no_grad():
                seen.append(losses.detach())
                bpd = self._bpd(x, log_det, s, eps, q, losses)
                if t.law != "paper":
                    losses = losses * self.paper.density(s) / q
                totals += torch.stack([losses.sum(dtype=torch.float64), bpd.sum()])
        return totals, torch.cat(seen)

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, log_det, times and noise of the next batch, of all workers together."""
        device = self.workers.device
        rng = generator("train", self.run.seed, self.state.iteration, device=device)
        x, log_det = self.batches(self.state.iteration)
        copies = self.run.training.draws_per_image
        x, log_det = (v.repeat_interleave(copies, 0) for v in (x, log_det))
        s = self.times(len(x), rng)
        return x, log_det, s, torch.randn(x.shape, generator=rng, device=device)

    @property
    def law(self) -> TimeLaw:
        """The law of the next batch's times."""
        fitted = self.state.fitted
        if fitted is not None:
            return fitted.law
        return self.unbiased if self.run.training.law == "unbiased" else self.paper

    def weight(self, s: Tensor, q: Tensor) -> Tensor | float:
        """Of the losses at times s (B,) of density q (B,): 1 for the paper's laws; for others what
        makes the gradient the ELBO's, in units of the debiased law's."""
        if self.run.training.law == "paper":
            return 1.0
        return self.sde.weight(s) / q / self.debiased.normaliser

    def times(self, n: int, rng: torch.Generator) -> Tensor:
        """A batch's times (n,), each of the law; together evenly spread, if requested."""
        if self.run.training.draws == "independent":
            return self.law.sample(n, rng)
        return self.law.icdf(stratified(n, rng))

    def _bpd(
        self, x: Tensor, log_det: Tensor, s: Tensor, eps: Tensor, q: Tensor, losses: Tensor
    ) -> Tensor:
        """Bits/dim of training examples from their DSM losses, (B,): unbiased but noisy."""
        elbo = elbo_of_losses(self.sde, q, x, s, eps, losses)
        return bits_per_dim(elbo + log_det, x[0].numel(), self.data.levels)

    def check(self) -> None:
        """Raise VdiffError, naming the iteration, if a loss since the last check is not finite."""
        losses = self.state.history[self.checked : self.state.iteration, 0]
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            k = int(bad[0])
            raise VdiffError(
                f"The loss is {float(losses[k])} at iteration {self.checked + k + 1} of "
                f"{self.run.label}; the last good state is kept; try a smaller training.lr."
            )
        self.checked = self.state.iteration


def _compiled(network: nn.Module, how: bool | str, cache: Path) -> nn.Module:
    """By torch.compile in the mode `how`, or its default for True; its cache lies beside the states
    of all runs, so that a second run is warm. Batches have one shape; guessing at others takes
    minutes when a second network is compiled in the same process."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    return torch.compile(network, dynamic=False, mode=how if isinstance(how, str) else None)  # type: ignore

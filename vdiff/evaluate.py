"""Test-set likelihoods of a network: bits/dim per image and pass, by either ELBO estimator.

Noise is keyed by (pass, image), so results do not depend on batching and all checkpoints and
methods are compared under common random numbers.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdiff import uncertainty
from vdiff.bits import bits_per_dim, dequantise, to_real
from vdiff.config import Evaluation
from vdiff.control import GaussianReference, efficient, fit_plan
from vdiff.data import Images, Points
from vdiff.divergence import probe_from_uniform
from vdiff.elbo import published
from vdiff.errors import VdiffError
from vdiff.reverse import Drift
from vdiff.sde import VPSDE
from vdiff.seeds import generator, normal_per_example, uniform_per_example
from vdiff.times import stratified

log = logging.getLogger(__name__)
REFERENCE = 5000  # training examples behind its Gaussian reference
MOST_PASSES = 1000


@dataclass(frozen=True)
class TestSet:
    """The first n test examples, with all their noise on demand.

    Raises VdiffError when the set is empty.
    """

    data: Points | Images
    real: bool = True
    n: int | None = None

    @property
    def examples(self) -> Tensor:
        x = self.data.test if isinstance(self.data, Images) else self.data.test_points()
        x = x[: self.n]
        if len(x) < 2:
            raise VdiffError(f"The test set has {len(x)} examples; an evaluation needs 2.")
        return x

    @property
    def levels(self) -> int:
        return self.data.levels if isinstance(self.data, Images) else 1

    def real_vectors(self, x: Tensor, index: range, k: int) -> tuple[Tensor, Tensor]:
        """(y, log_det) of examples x with the dequantisation noise of pass k."""
        if isinstance(self.data, Points):
            return x, torch.zeros(len(x), device=x.device)
        u = uniform_per_example(index, x.shape[1:], "dequantise", k).to(x.device)
        return to_real(dequantise(x, u, self.levels), self.real)

    def training_vectors(self, n: int, name: str) -> Tensor:
        """n training examples as real vectors, for fitting a proposal."""
        rng = generator(name)
        if isinstance(self.data, Points):
            return self.data.draw(n, rng)
        train = self.data.train
        x = train[torch.randint(len(train), (n,), generator=rng)]
        u = torch.rand(x.shape, generator=rng)
        return to_real(dequantise(x, u, self.levels), self.real)[0]


def reference_of(sde: VPSDE, test: TestSet) -> GaussianReference:
    return GaussianReference.fit(sde, test.training_vectors(REFERENCE, "reference"))


def evaluate(
    sde: VPSDE,
    a: Drift,
    test: TestSet,
    settings: Evaluation,
    estimator: str,
    reference: GaussianReference | None = None,
    eps_t: float = 1e-3,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """(z, u, network evaluations): bits/dim z (R, n), stratified uniforms u (R, n) or None.

    `published` makes one pass with independent uniform times. `efficient` makes
    settings.passes passes, or with target_se (bits/dim) as many as its Monte-Carlo standard
    error needs. Raises VdiffError when the network's output is not finite.
    """
    a = _checked(a)
    if estimator == "published":
        z = np.concatenate(
            [_published(sde, a, test, settings, *c) for c in _chunks(test, settings)]
        )
        return z[None], None, len(z)
    if reference is None:
        reference = reference_of(sde, test)
    plan = fit_plan(
        sde,
        _chunked(a, settings.batch_size, device),
        test.training_vectors(settings.pilot, "pilot"),
        reference,
        generator("pilot times"),
        eps_t=eps_t,
    )
    z, u = [], []
    n = len(test.examples)
    while True:
        k = len(z)
        times = stratified(n, generator("times", k))
        values = [
            _efficient(sde, a, test, plan, times, k, device, *chunk)
            for chunk in _chunks(test, settings)
        ]
        z.append(np.concatenate(values))
        u.append(times.numpy())
        if settings.target_se is None:
            done = len(z) >= settings.passes
        else:
            done = len(z) >= 2 and uncertainty.summarise(z, np.array(u)).se_mc <= settings.target_se
        if done or len(z) == MOST_PASSES:
            return np.array(z), np.array(u), len(z) * n + settings.pilot


def row_of(z: np.ndarray, u: np.ndarray | None, calls: int) -> dict:
    """The columns of the schema evaluation that a result determines."""
    mean = uncertainty.summarise(z, u)
    return {
        "bpd": mean.mean,
        "bpd_std_err": mean.std_err,
        "se_test": mean.se_test,
        "se_mc": mean.se_mc,
        "images": z.shape[1],
        "passes": z.shape[0],
        "network_evaluations": calls,
    }


def _chunks(test: TestSet, settings: Evaluation) -> Iterator[tuple[range, Tensor]]:
    x = test.examples
    for start in range(0, len(x), settings.batch_size):
        part = x[start : start + settings.batch_size]
        yield range(start, start + len(part)), part


def _published(sde, a, test, settings, index, x, device="cpu") -> np.ndarray:
    x, log_det = test.real_vectors(x.to(device), index, 0)
    shape = x.shape[1:]
    s = sde.T * uniform_per_example(index, (), "published time").double()
    eps = normal_per_example(index, shape, "noise", 0)
    eps_T = normal_per_example(index, shape, "final noise")
    probe = probe_from_uniform(uniform_per_example(index, shape, "probe"), settings.probe)
    elbo = published(sde, a, x, s, eps, eps_T, probe)
    return bits_per_dim(elbo.value, log_det, x[0].numel(), test.levels).cpu().numpy()


@torch.no_grad()
def _efficient(sde, a, test, plan, times, k, device, index, x) -> np.ndarray:
    x, log_det = test.real_vectors(x.to(device), index, k)
    eps = normal_per_example(index, x.shape[1:], "noise", k).to(device)
    elbo = efficient(a, x, times[index.start : index.stop], eps, plan)
    return bits_per_dim(elbo.value, log_det, x[0].numel(), test.levels).cpu().numpy()


def _checked(a: Drift) -> Drift:
    def checked(y: Tensor, s: Tensor) -> Tensor:
        out = a(y, s)
        if not torch.isfinite(out).all():
            raise VdiffError("The network's output is not finite; its weights are of no use.")
        return out

    return checked


def _chunked(a: Drift, size: int, device: str) -> Drift:
    """a without gradients, in chunks of `size`, to bound memory."""

    @torch.no_grad()
    def chunked(y: Tensor, s: Tensor) -> Tensor:
        pairs = zip(y.split(size), s.split(size), strict=True)
        return torch.cat([a(p.to(device), q.to(device)).to(y.device) for p, q in pairs])

    return chunked

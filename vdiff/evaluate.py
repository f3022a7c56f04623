"""Test-set likelihoods of a network: bits/dim per image and pass, by either ELBO estimator.

Noise is keyed by (pass, image), so results do not depend on batching and all checkpoints and
methods are compared under common random numbers.
"""

import logging
from collections.abc import Callable, Iterator
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
from vdiff.precision import in_precision, products
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

    __test__ = False  # no test class of pytest's
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

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n training examples as real vectors, with replacement."""
        if isinstance(self.data, Points):
            return self.data.draw(n, rng)
        train = self.data.train
        x = train[torch.randint(len(train), (n,), generator=rng)]
        u = torch.rand(x.shape, generator=rng)
        return to_real(dequantise(x, u, self.levels), self.real)[0]


def reference_of(sde: VPSDE, test: TestSet) -> GaussianReference:
    return GaussianReference.fit(sde, test.draw(REFERENCE, generator("reference")))


Pass = Callable[[int], tuple[np.ndarray, np.ndarray | None]]
"""Pass k over the test set: bits/dim z (n,) and the stratified uniforms u (n,) or None."""


def published_pass(
    sde: VPSDE, a: Drift, test: TestSet, settings: Evaluation, device: str = "cpu"
) -> Pass:
    """The paper's evaluation: independent uniform times, one probe an image."""
    a = _checked(a)

    def one(index: range, x: Tensor, k: int) -> np.ndarray:
        x, log_det = test.real_vectors(x.to(device), index, k)
        shape = x.shape[1:]
        s = sde.T * uniform_per_example(index, (), "published time", k).double()
        eps = normal_per_example(index, shape, "noise", k)
        eps_T = normal_per_example(index, shape, "final noise", k)
        probe = probe_from_uniform(uniform_per_example(index, shape, "probe", k), settings.probe)
        elbo = published(sde, a, x, *(v.to(device) for v in (s, eps, eps_T, probe)))
        return bits_per_dim(elbo.value, log_det, x[0].numel(), test.levels).cpu().numpy()

    return lambda k: (np.concatenate([one(*c, k) for c in chunks(test, settings.batch_size)]), None)


def efficient_pass(
    sde: VPSDE,
    a: Drift,
    test: TestSet,
    settings: Evaluation,
    reference: GaussianReference,
    eps_t: float = 1e-3,
    device: str = "cpu",
) -> Pass:
    """The efficient estimator, its plan fitted once on settings.pilot training draws."""
    a = _checked(a)
    plan = fit_plan(
        sde,
        in_chunks(a, settings.batch_size, device),
        test.draw(settings.pilot, generator("pilot")),
        reference,
        generator("pilot times"),
        eps_t=eps_t,
    )
    n = len(test.examples)

    @torch.no_grad()
    def one(index: range, x: Tensor, k: int, u: Tensor) -> np.ndarray:
        # The network runs on the device; the small linear algebra of the controls on the CPU.
        x, log_det = test.real_vectors(x, index, k)
        eps = normal_per_example(index, x.shape[1:], "noise", k)
        net = in_chunks(a, settings.batch_size, device)
        elbo = efficient(net, x, u[index.start : index.stop], eps, plan)
        return bits_per_dim(elbo.value, log_det, x[0].numel(), test.levels).numpy()

    def passes(k: int) -> tuple[np.ndarray, np.ndarray]:
        u = stratified(n, generator("times", k))
        return np.concatenate([one(*c, k, u) for c in chunks(test, settings.batch_size)]), u.numpy()

    return passes


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

    `published` makes one pass. `efficient` makes settings.passes passes, or with target_se
    (bits/dim) as many as its Monte-Carlo standard error needs. Raises VdiffError when the
    network's output is not finite.
    """
    a = in_precision(a, settings.precision)
    with products(settings.precision):
        return _evaluate(sde, a, test, settings, estimator, reference, eps_t, device)


def _evaluate(sde, a, test, settings, estimator, reference, eps_t, device):
    if estimator == "published":
        z, _ = published_pass(sde, a, test, settings, device)(0)
        return z[None], None, len(z)
    one_pass = efficient_pass(
        sde, a, test, settings, reference or reference_of(sde, test), eps_t, device
    )
    z, u = [], []
    while len(z) < MOST_PASSES:
        values, times = one_pass(len(z))
        z.append(values)
        u.append(times)
        if settings.target_se is None:
            done = len(z) >= settings.passes
        else:
            done = len(z) >= 2 and uncertainty.summarise(z, np.array(u)).se_mc <= settings.target_se
        if done:
            break
    else:
        log.warning("The Monte-Carlo error is still above target_se after %d passes.", len(z))
    return np.array(z), np.array(u), len(z) * len(z[0]) + settings.pilot


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


def chunks(test: TestSet, size: int) -> Iterator[tuple[range, Tensor]]:
    x = test.examples
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield range(start, start + len(part)), part


def _checked(a: Drift) -> Drift:
    def checked(y: Tensor, s: Tensor) -> Tensor:
        out = a(y, s)
        if not torch.isfinite(out).all():
            raise VdiffError("The network's output is not finite; its weights are of no use.")
        return out

    return checked


def in_chunks(a: Drift, size: int, device: str) -> Drift:
    """a without gradients, in chunks of `size`, to bound memory."""

    @torch.no_grad()
    def chunked(y: Tensor, s: Tensor) -> Tensor:
        pairs = zip(y.split(size), s.split(size), strict=True)
        return torch.cat([a(p.to(device), q.to(device)).to(y.device) for p, q in pairs])

    return chunked

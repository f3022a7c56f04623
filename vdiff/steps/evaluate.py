"""Test-set likelihoods of a network: bits/dim per image and pass, by either ELBO estimator.

Noise is keyed by (pass, image), so results do not depend on batching and all checkpoints and
methods are compared under common random numbers.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Evaluation
from vdiff.data import Data
from vdiff.diffusion.bits import bits_per_dim
from vdiff.diffusion.choice import untried
from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.divergence import probe_from_uniform
from vdiff.diffusion.drift import UNUSABLE, Drift, checked, in_chunks, in_precision, on_device
from vdiff.diffusion.elbo import paper
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.times import stratified
from vdiff.errors import VdiffError
from vdiff.likelihood.noise import digests
from vdiff.machine.precision import products
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator, normal_per_example, uniform_per_example
from vdiff.stats import tails, uncertainty
from vdiff.steps import BACKWARD, Measured
from vdiff.trained import Trained

log = logging.getLogger(__name__)
REFERENCE = 5000  # training examples behind the Gaussian reference
MOST_PASSES = 1000


def examples_of(data: Data, n: int | None = None) -> Tensor:
    """n test examples as stored, all for None; raises VdiffError when there are fewer than two."""
    x = data.test_examples(n)
    if len(x) < 2:
        raise VdiffError(f"The test set has {len(x)} examples; an evaluation needs 2.")
    return x


def chunks(x: Tensor, size: int) -> Iterator[tuple[range, Tensor]]:
    """Index and examples, `size` at a time."""
    start = 0
    for part in x.split(size):
        yield range(start, start + len(part)), part
        start += len(part)


def bits_of(data: Data, log_prob: Tensor) -> np.ndarray:
    """Bits/dim (B,) from log probabilities in nats; raises VdiffError when one is not finite."""
    z = bits_per_dim(log_prob, torch.Size(data.shape).numel(), data.levels).cpu()
    if not torch.isfinite(z).all():
        raise VdiffError(UNUSABLE)
    return z.numpy()


def keys_of(x: Tensor) -> np.ndarray:
    """A key of each example (n,) uint64, by its content: what pairs are matched by."""
    return np.frombuffer(b"".join(d[:8] for d in digests(x)), np.dtype("<u8"))


def reference_of(sde: SDE, data: Data) -> GaussianReference:
    """The Gaussian reference of the training data."""
    x = data.sample(REFERENCE, generator("reference"))
    return GaussianReference.fit(sde, x, untried(x))


Pass = Callable[[int], tuple[np.ndarray, np.ndarray | None]]
"""Pass k over the test set: bits/dim z (n,) and the stratified uniforms u (n,) or None."""


def paper_pass(model: Trained, a: Drift, settings: Evaluation, *_: object) -> Pass:
    """The paper's evaluation: independent uniform times, one probe per image."""
    data, sde = model.data, model.sde
    examples = examples_of(data, settings.images)

    def one(index: range, x: Tensor, k: int) -> np.ndarray:
        x, log_det = data.vectors(x.to(model.device), index, k)
        shape = x.shape[1:]
        s = sde.T * uniform_per_example(index, (), "published time", k).double()
        eps = normal_per_example(index, shape, "noise", k)
        eps_T = normal_per_example(index, shape, "final noise", k)
        probe = probe_from_uniform(uniform_per_example(index, shape, "probe", k), settings.probe)
        elbo = paper(sde, a, x, *(v.to(model.device) for v in (s, eps, eps_T, probe)))
        return bits_of(data, elbo.value + log_det)

    def passes(k: int) -> tuple[np.ndarray, None]:
        parts = [one(index, x, k) for index, x in chunks(examples, settings.batch_size)]
        return np.concatenate(parts), None

    return passes


Draws = Callable[[range, Tensor, int, Tensor], np.ndarray]
"""Bits/dim (B,) of examples (B, ...) as stored, whose noise is that of an index and of pass k, with
uniforms u (B,) behind their times."""


def efficient_draws(
    model: Trained, a: Drift, settings: Evaluation, reference: GaussianReference | None = None
) -> Draws:
    """The efficient estimator, its controls fitted once on settings.pilot training draws.

    The network runs on the device; the small linear algebra of the controls on the CPU.
    """
    data = model.data
    a = in_chunks(checked(on_device(a, model.device)), settings.batch_size)
    reference = reference or reference_of(model.sde, model.data)
    pilot = data.sample(settings.pilot, generator("pilot"))
    controls = fit_controls(a, pilot, reference, generator("pilot times"), model.eps_t)

    @torch.no_grad()
    def one(index: range, x: Tensor, k: int, u: Tensor) -> np.ndarray:
        x, log_det = data.vectors(x, index, k)
        eps = normal_per_example(index, x.shape[1:], "noise", k)
        elbo = efficient(a, x, u, eps, controls)
        return bits_of(data, elbo.value + log_det)

    return one


def efficient_pass(
    model: Trained, a: Drift, settings: Evaluation, reference: GaussianReference | None = None
) -> Pass:
    """Passes of the efficient estimator; the times of each are stratified over the images."""
    examples = examples_of(model.data, settings.images)
    one, n = efficient_draws(model, a, settings, reference), len(examples)

    def passes(k: int) -> tuple[np.ndarray, np.ndarray]:
        u = stratified(n, generator("times", k))
        parts = chunks(examples, settings.batch_size)
        z = [one(index, x, k, u[index.start : index.stop]) for index, x in parts]
        return np.concatenate(z), u.numpy()

    return passes


ESTIMATORS: dict[str, Callable[..., Pass]] = {
    "published": paper_pass,
    "efficient": efficient_pass,
}
ONE_PASS = {"published"}
"""Estimators that make one pass, as the paper's code does; the others make several."""


class Evaluated(NamedTuple):
    """z: bits/dim (R, n); u: stratified uniforms (R, n) or None; calls: network evaluations."""

    z: np.ndarray
    u: np.ndarray | None
    calls: int

    def row(self) -> dict:
        """The columns of the schema evaluation that a result determines."""
        mean = uncertainty.summarise(self.z, self.u)
        return {
            "bpd": mean.mean,
            "bpd_std_err": mean.std_err,
            "se_test": mean.se_test,
            "se_mc": mean.se_mc,
            "images": self.z.shape[1],
            "passes": self.z.shape[0],
            "network_evaluations": self.calls,
            **asdict(mean.tail),
        }


def evaluate(
    model: Trained,
    a: Drift,
    settings: Evaluation,
    estimator: str,
    reference: GaussianReference | None = None,
    checkpoint: int = 0,
) -> Evaluated:
    """The drift a of a model on its test set.

    `published` makes one pass, with fresh noise at each checkpoint (an iteration), as the paper's
    code does; arms share the noise of a checkpoint. `efficient` makes settings.passes passes, or
    with target_se (bits/dim) as many as its Monte-Carlo standard error needs; it fits its Gaussian
    reference unless given one. Raises VdiffError when the network's output is not finite.
    """
    a = in_precision(a, settings.precision)
    with products(settings.precision):
        one_pass = ESTIMATORS[estimator](model, a, settings, reference)
        if estimator in ONE_PASS:
            z, _ = one_pass(checkpoint)
            return Evaluated(z[None], None, len(z))
        z, u = _until_done(one_pass, settings)
        return Evaluated(z, u, z.size + settings.pilot)


def _until_done(one_pass: Pass, settings: Evaluation) -> tuple[np.ndarray, np.ndarray | None]:
    """Passes of an estimator until there are enough."""
    z: list[np.ndarray] = []
    u: list[np.ndarray | None] = []
    enough = False  # for the target
    while len(z) < MOST_PASSES:
        values, times = one_pass(len(z))
        z.append(values)
        u.append(times)
        if settings.target_se is None:
            done = len(z) >= settings.passes
        else:
            mean = uncertainty.summarise(np.array(z), _stacked(u))
            enough = len(z) >= 2 and mean.se_mc <= settings.target_se
            done = enough and not mean.tail.doubtful
        if done:
            break
    else:
        log.warning(
            "After %d passes the Monte-Carlo error is still %s.",
            len(z), "unreliable" if enough else "above target_se",
        )  # fmt: skip
    return np.array(z), _stacked(u)


def _stacked(u: list[np.ndarray | None]) -> np.ndarray | None:
    """The uniforms of all passes, of an estimator that has them."""
    return None if u[0] is None else np.array(u)


def warn(rows: list[dict]) -> None:
    """Say in the log which standard errors fail the check of their tail."""
    for row in rows:
        if tails.doubtful(row["k_hat"], row["k_most"], row["share"]):
            log.warning(
                "%s at iteration %d: %s", row["estimator"], row["iteration"], tails.why(row)
            )


def measure(model: Trained, settings: Evaluation) -> Measured:
    """Every snapshot by every estimator: the table, and bits/dim per image and pass."""
    reference = None
    if "efficient" in settings.estimators:
        reference = reference_of(model.sde, model.data)
    snapshots = model.snapshots[-1:] if settings.last else model.snapshots
    rows, arrays = [], {}
    name = f"evaluate {model.run.label}"
    with bar(len(snapshots) * len(settings.estimators), name, unit="eval") as progress:
        for snapshot in snapshots:
            a = model.drift(snapshot)
            for estimator in settings.estimators:
                at = snapshot.iteration
                evaluated = evaluate(model, a, settings, estimator, reference, at)
                row = {
                    "estimator": estimator,
                    "iteration": at,
                    "examples": at * model.data.batch(model.run.training.batch_size),
                    **evaluated.row(),
                }
                rows.append(row)
                arrays[f"{estimator}_{at:08d}"] = evaluated.z.astype(np.float32)
                if evaluated.u is not None and len(evaluated.u) > len(arrays.get("u", ())):
                    arrays["u"] = evaluated.u  # of pass k the same for every network
                progress.set_postfix_str(f"bpd={row['bpd']:.3f}", refresh=False)
                progress.update()
    arrays["images"] = keys_of(examples_of(model.data, settings.images))
    warn(rows)
    message = (
        "{estimator}: {bpd:.4f} bits/dim, standard error {bpd_std_err:.4f}, Monte-Carlo part "
        "{se_mc:.4f}, {network_evaluations} network evaluations."
    ).format(**rows[-1])
    return Measured({"out": rows, "per_image": arrays}, message)


def cost(settings: Evaluation, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    n = min(settings.images or test, test)
    each = {
        "published": n * (1 + BACKWARD),
        "efficient": n * settings.passes + settings.pilot,
    }
    return (1 if settings.last else snapshots) * sum(each[name] for name in settings.estimators)

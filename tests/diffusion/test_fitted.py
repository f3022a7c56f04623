"""The time distribution fitted to gradients; every law's mean gradient on an oracle."""

import pytest
import torch
from support.training import tiny
from torch import nn

from vdiff.config import merge, validate
from vdiff.config.run import Run
from vdiff.data.points import Points
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.fitted import SLICES, Fitted
from vdiff.errors import VdiffError
from vdiff.machine.parallel import Workers
from vdiff.machine.seeds import generator
from vdiff.training.trainer import Trainer

VARIANCE, THETA, BATCH, REPEATS = 2.0, 0.7, 256, 750


def trainer_of(tmp_path, debias, law, draws):
    run = tiny(batch_size=BATCH, law=law, draws=draws, iterations=100).model_copy(
        update={"debias": debias}
    )
    data = Points(lambda n, rng: VARIANCE**0.5 * torch.randn(n, 2, generator=rng))
    return Trainer(run, data, Workers(), tmp_path)


def mean_gradient(trainer):
    """Mean and standard error over batches of d loss / d theta at the drift -theta g y."""
    sde, found = trainer.sde, []
    for i in range(REPEATS):
        trainer.state.iteration = i
        theta = torch.tensor(THETA, requires_grad=True, dtype=torch.float64)
        x, _, s, eps = (v.double() for v in trainer.batch())
        losses = dsm_loss(sde, lambda y, s, theta=theta: -theta * sde.g(s)[:, None] * y, x, s, eps)
        loss = (trainer.weight(s, trainer.law.density(s)) * losses).mean()
        found.append(float(torch.autograd.grad(loss, theta)[0]))
        if trainer.state.fitted is not None:
            trainer.state.fitted.see(s, losses.detach())
            if i % 125 == 124:
                trainer.state.fitted.refit()
    found = torch.tensor(found, dtype=torch.float64)
    return float(found.mean()), float(found.std() / REPEATS**0.5)


def gradient_at(sde, s):
    """d/d theta of E[DSM loss] at time s, 2 dimensions: sigma^2 (theta (m^2 v + sigma^2) - 1) d."""
    marginal = sde.m(s).square() * VARIANCE + sde.var(s)
    return 2 * sde.var(s) * (THETA * marginal - 1)


@pytest.mark.parametrize("draws", ["independent", "low_discrepancy"])
@pytest.mark.parametrize("law", ["uniform", "debiased", "unbiased", "fitted"])
def test_the_mean_gradient_of_every_law_and_draw(tmp_path, law, draws):
    """Of N(0, 2 I) and the drift -0.7 g y, in closed form. Debiased, unbiased and fitted times
    have the ELBO's gradient within 4 standard errors; an error of 5% would be found with 80% power.
    Uniform times have their own, which lies far from the ELBO's."""
    own = law if law in ("unbiased", "fitted") else "paper"
    trainer = trainer_of(tmp_path, law != "uniform", own, draws)
    sde = trainer.sde
    s = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    elbo = float((sde.weight(s) * gradient_at(sde, s)).mean()) / trainer.debiased.normaliser
    uniform = float(gradient_at(sde, s).mean())
    mean, error = mean_gradient(trainer)
    truth = uniform if law == "uniform" else elbo
    assert 2.8 * error < 0.05 * abs(truth)
    assert abs(mean - truth) < 4 * error + 1e-4 * abs(truth)
    if law == "uniform":
        assert abs(mean - elbo) > 20 * error


def test_a_fit_follows_the_size_of_the_gradients_at_the_output(sde):
    """Drift 0 and data at 0: the loss is ||eps||^2 / 2, so with the ELBO's weight the gradient at
    the output has the size g / sigma of a standard normal vector."""
    fitted = Fitted.fresh(sde, 1e-3)
    rng = generator("fit")
    s = fitted.base.sample(400_000, rng)
    fitted.see(s, torch.randn(len(s), 2, generator=rng).square().sum(1) / 2)
    assert int(fitted.counts.sum()) == len(s)
    fitted.refit()
    u = (torch.arange(SLICES * 1000, dtype=torch.float64) + 0.5) / (SLICES * 1000)
    t = fitted.base.icdf(u)
    size = sde.weight(t) / fitted.base.unnormalized(t) * sde.sigma(t) / sde.g(t)
    root = size.square().reshape(SLICES, 1000).mean(1).sqrt()
    expected = 0.9 * root / root.mean() + 0.1
    assert torch.allclose(fitted.weights, expected / expected.mean(), rtol=0.05)
    assert int(fitted.counts.sum()) == 0


def test_a_slice_that_nothing_fell_in_keeps_its_weight(sde):
    fitted = Fitted.fresh(sde, 1e-3)
    fitted.refit()
    assert torch.equal(fitted.weights, torch.ones(SLICES, dtype=torch.float64))
    fitted.see(torch.full((8,), 0.5, dtype=torch.float64), torch.ones(8))
    fitted.refit()
    assert fitted.weights.isfinite().all()
    assert fitted.weights.min() > 0.5


def test_fitted_times_without_debiasing_are_refused():
    base = tiny().model_dump()
    with pytest.raises(VdiffError, match="law is fitted"):
        validate(Run, merge(base, {"debias": False, "training": {"law": "fitted"}}))


def test_the_fit_is_of_training_itself(tmp_path):
    """A trainer's steps fill the slices and change the law after REFIT_EVERY of them."""
    trainer = trainer_of(tmp_path, True, "fitted", "low_discrepancy")
    assert isinstance(trainer.state.network, nn.Module)
    for _ in range(100):
        trainer.step()
    assert not torch.equal(trainer.state.fitted.weights, torch.ones(SLICES, dtype=torch.float64))
    assert int(trainer.state.fitted.counts.sum()) == 0
    assert trainer.state.history[:100].isfinite().all()

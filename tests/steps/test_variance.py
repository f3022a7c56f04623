"""Variance in time, and bias and variance of the training gradient."""

import math

import pytest
import torch

from vdiff.config import Run, Variance, validate
from vdiff.data.points import Points
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.elbo import paper
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.times import Uniform
from vdiff.machine.seeds import generator
from vdiff.nets.mlp import MLP
from vdiff.steps.gradient import gradient_rows
from vdiff.steps.variance import variance_in_time
from vdiff.trained import Trained


def draw(n, rng):
    return torch.randn(n, 2, generator=rng) * torch.tensor([2.0, 0.3])


def model_of(net):
    """A model on Gaussian data in the plane, with that network."""
    run = validate(
        Run,
        {"experiment": "e", "arm": "debias-True", "dataset": "swissroll", "debias": True,
         "seed": 0, "network": {"kind": "mlp", "hidden": [16]}},
    )  # fmt: skip
    model = Trained(run, Points(draw))
    model.network = net
    return model


def test_bins_add_up_to_the_variance_of_a_draw(sde):
    rng = generator("x")
    a = MLP(2, rng, (16,)).requires_grad_(False)
    reference = GaussianReference.fit(sde, draw(1000, rng))
    settings = Variance(draws=20_000, pilot=512, batch_size=1000)
    rows = variance_in_time(model_of(a), a, reference, settings)
    total = {
        e: sum(r["variance"] for r in rows if r["estimator"] == e)
        for e in ("published", "efficient")
    }
    x = draw(20_000, rng)
    eps, eps_T, v = (torch.randn(x.shape, generator=rng) for _ in range(3))
    s = torch.rand(20_000, generator=rng, dtype=torch.float64)
    z = paper(sde, a, x, s, eps, eps_T, v.sign()).value / (2 * math.log(2))
    assert total["published"] == pytest.approx(z.var().item(), rel=0.1)
    assert total["efficient"] < total["published"] / 3
    assert sum(r["draws"] for r in rows) == 2 * 20_000


def test_the_debiased_gradient_is_unbiased_and_the_uniform_one_is_not(sde):
    """At a net that uniform training has half finished: what is left to gain it hardly sees. Its
    cosine of 0.87 is more than ten standard errors below 1."""
    net = MLP(2, generator("net"), (16,))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    rng = generator("training")
    for _ in range(150):
        x = draw(256, rng)
        s = Uniform(sde.T).sample(256, rng)
        loss = dsm_loss(sde, net, x, s, torch.randn(x.shape, generator=rng)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rows = gradient_rows(model_of(net), net, Variance(batches=40, batch_size=256))
    by_law = {row["law"]: row for row in rows}
    debiased, uniform = by_law["debiased"], by_law["uniform"]
    weighted = by_law["uniform_weighted"]
    assert abs(debiased["cosine"] - 1) < 4 * debiased["cosine_std_err"] + 0.01
    assert uniform["cosine"] < 1 - 4 * uniform["cosine_std_err"]
    assert uniform["relative_bias"] > 0.1
    assert debiased["relative_variance"] < weighted["relative_variance"]

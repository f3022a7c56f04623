"""The gradient of the bound, against exact scores."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import vdiff
from benchmarks.oracle import MEANS, VARIANCE, examples, wrapped
from vdiff.errors import VdiffError
from vdiff.likelihood import model as module


def score_of(x, means):
    x = x.double().requires_grad_()
    square = (x[:, None] - means).square().sum(2)
    (found,) = torch.autograd.grad(torch.logsumexp(-square / (2 * VARIANCE), 1).sum(), x)
    return found.numpy()


@pytest.mark.parametrize("schedule", ["vp", "edm", "flow", "ddpm-linear"])
@pytest.mark.parametrize("far", [1, 2])
@pytest.mark.parametrize("means", [MEANS[:1], MEANS], ids=["gaussian", "mixture"])
def test_it_is_the_score_of_exact_denoisers(schedule, means, far):
    """In the mean over 400 examples within 4 errors and 1% of its size, and each coordinate within
    its own error, near the data and far from them; that of log p(x) / 2 is rejected."""
    x = far * examples(400, means=means)[0].float()
    model = wrapped(schedule, "noise", means).fit(examples(1024, 9, means)[0].float())
    found = model.gradient(x, draws=32, batch_size=8192)
    truth = score_of(x, means)
    off = found.value - truth
    size = float(np.square(truth).mean() ** 0.5)
    along = (off * truth).sum(1) / size  # by which a gradient is too long, or too short
    assert abs(along.mean()) < 4 * along.std() / 20 + 0.01 * size
    assert abs((along - (truth * truth).sum(1) / 2 / size).mean()) > 8 * along.std() / 20
    inside = np.abs(off) <= 1.96 * found.error + 0.02 * size
    assert 0.92 < inside.mean()
    assert found.value.shape == found.error.shape == (400, 3)


def test_it_is_that_of_the_draws_themselves():
    """By finite differences of `draws` at the same noise, of a network that is not exact."""
    model = vdiff.wrap(
        lambda y, s: torch.tanh(y) * 0.7 + y.flip(1).square() / 5, schedule="vp", predicts="noise",
        data=(3,), check=False,
    ).fit(examples(256)[0].float())  # fmt: skip
    # Beyond the radius of the controls the two differ, in draws and not in the mean.
    everywhere = replace(model.controls.reference, radius=math.inf)
    model.controls = replace(model.controls, reference=everywhere)
    x = examples(5, 3)[0]
    found = model.gradient(x, draws=4)
    streams, h = module.Streams, 1e-4
    for axis in range(3):
        ends = []
        for sign in (1, -1):
            moved = x.clone()
            moved[:, axis] += sign * h
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "Streams", lambda _, *k, **more: streams(x, *k, **more))
                ends.append(model.draws(moved, draws=4).mean(1))
        assert np.allclose((ends[0] - ends[1]) / (2 * h), found.value[:, axis], rtol=0.02, atol=0.1)


def test_a_grey_levels_gradient_is_by_levels(rng):
    """Of a Gaussian that is wide beside a level: its score times what a level is on the real line,
    for a line and for the logit."""
    x = torch.randint(40, 216, (300, 1, 1, 2), generator=rng).to(torch.uint8)
    for keys, law in (({"range": (-2.0, 2.0)}, 0.5), ({"logit": True}, 0.5)):
        model = vdiff.wrap(
            lambda y, s, v=law: -y / (v * torch.exp(-0.1 * s - 9.95 * s**2) + 1
                                      - torch.exp(-0.1 * s - 9.95 * s**2)).reshape(-1, 1, 1, 1),
            schedule="vp", predicts="score", data=(1, 1, 2), check=False, **keys,
        )  # fmt: skip
        model.fit(x)
        k = (x.double() + 0.5).requires_grad_()
        y, log_det = model.space.vectors(k, torch.zeros(k.shape, dtype=torch.float64))
        log_p = -y.square().sum((1, 2, 3)) / (2 * law) + log_det
        (truth,) = torch.autograd.grad(log_p.sum(), k)
        found = model.gradient(x, draws=32)
        off = found.value - truth.numpy()
        assert (np.abs(off) <= 1.96 * found.error + 0.02 * truth.abs().mean().item()).mean() > 0.92
        assert np.abs(off).mean() < 0.3 * truth.abs().mean()


def test_an_example_has_the_gradient_that_it_has_among_others():
    x = examples(5)[0].float()
    model = wrapped("ve", "x0").fit(examples(256)[0].float())
    every = model.gradient(x, draws=4)
    alone = model.gradient(x[3:4], draws=4, batch_size=3)
    assert np.allclose(alone.value, every.value[3], rtol=1e-4, atol=1e-4)
    assert not np.allclose(model.gradient(x, draws=4, seed=1).value, every.value, rtol=1e-3)
    with torch.no_grad():
        assert np.allclose(model.gradient(x, draws=4).value, every.value, rtol=1e-4, atol=1e-4)


def test_a_network_that_blocks_gradients_is_refused():
    blocked = vdiff.wrap(
        torch.no_grad()(lambda y, s: -y), schedule="vp", predicts="score", data=(3,), check=False
    )
    with pytest.raises(VdiffError, match="blocks gradients"):
        blocked.gradient(torch.zeros(2, 3))


def test_errors_of_a_conditional_network_that_is_not_fitted_are_not_known():
    net = vdiff.wrap(lambda y, s, c: -y, schedule="vp", predicts="score", data=(3,), check=False)
    found = net.gradient(torch.zeros(2, 3), [0, 1], draws=4)
    assert np.isnan(found.error).all() and np.isfinite(found.value).all()

"""Evaluation of networks: batching, precision, targets, bad input."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from support.models import digits_model

from vdiff.config import Evaluation
from vdiff.config.fields import Estimator
from vdiff.data.images import Images
from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.times import Debiased
from vdiff.errors import VdiffError
from vdiff.nets.mlp import MLP
from vdiff.nets.unet import UNet
from vdiff.stats.aggregate import paired_differences
from vdiff.steps.evaluate import ESTIMATORS, efficient_pass, evaluate, paper_pass
from vdiff.trained import Trained


@pytest.fixture(scope="module")
def model():
    return digits_model()


def settings(**keys):
    return Evaluation(images=64, **keys)


def unet(rng):
    net = UNet((1, 8, 8), rng, 8, (1, 2), 1, (), time_scale=1000, groups=4)
    return net.requires_grad_(False)


@pytest.fixture(scope="module")
def network():
    """A small U-Net whose last convolution is not zero, so that every term counts."""
    rng = torch.Generator().manual_seed(0)
    net = unet(rng)
    net.end.weight.normal_(0, 0.1, generator=rng)
    return net


@pytest.mark.parametrize("estimator", ["published", "efficient"])
def test_no_result_depends_on_the_batch_size(model, network, estimator):
    found = [
        evaluate(model, network, settings(batch_size=size, pilot=256), estimator).z
        for size in (7, 64)
    ]
    assert np.abs(found[0] - found[1]).max() < 1e-4


def test_the_first_images_are_evaluated_alike_in_a_smaller_set(model, network):
    """Per-image noise: the paper's estimator of image k knows nothing of the other images."""
    few, many = (paper_pass(model, network, Evaluation(images=n))(0)[0] for n in (8, 32))
    assert np.abs(few - many[:8]).max() < 1e-5


def test_passes_are_independent_and_repeatable(model, network):
    one = paper_pass(model, network, settings())
    assert np.array_equal(one(1)[0], one(1)[0])
    assert abs(np.corrcoef(one(0)[0], one(1)[0])[0, 1]) < 0.4


def test_the_published_estimator_draws_fresh_noise_at_each_checkpoint(model, network):
    """As the authors' code does; the efficient one keeps its noise, to resolve differences."""
    same, other = (
        [evaluate(model, network, settings(pilot=256), e, checkpoint=k).z for k in (100, 100, 200)]
        for e in ("published", "efficient")
    )
    assert np.array_equal(same[0], same[1])
    assert abs(np.corrcoef(same[0][0], same[2][0])[0, 1]) < 0.4
    assert np.array_equal(other[0], other[2])


def test_a_target_is_reached_and_its_cost_told(model, network):
    loose, tight = (
        evaluate(model, network, settings(target_se=se, pilot=256), "efficient")
        for se in (0.05, 0.01)
    )
    assert len(tight.z) > len(loose.z) >= 2
    assert tight.calls == len(tight.z) * 64 + 256


def test_both_estimators_agree_on_a_network(model, network):
    """40 passes each; at 4 standard errors the test has power for differences above 5."""
    first = paper_pass(model, network, settings())
    second = efficient_pass(model, network, settings(pilot=512))
    z = np.array([[one(k)[0].mean() for k in range(40)] for one in (first, second)])
    error = np.hypot(*z.std(1, ddof=1)) / 40**0.5
    assert abs(z.mean(1) @ [1, -1]) < 4 * error
    assert z[1].std() < z[0].std()


def test_single_and_double_precision_agree(sde, network, rng):
    """At the same draws, in bits/dim, for all of [0, T]."""
    x = torch.randn(256, 1, 8, 8, generator=rng)
    reference = GaussianReference.fit(sde, x)
    controls = fit_controls(network, x, reference, rng)
    eps = torch.randn(x.shape, generator=rng)
    u = torch.rand(256, generator=rng, dtype=torch.float64)
    single = efficient(network, x, u, eps, controls).value
    double_net = unet(rng)
    double_net.load_state_dict(network.state_dict())
    double_net = double_net.double()
    double = efficient(double_net, x.double(), u, eps.double(), controls).value
    assert (single - double).mean().abs() / (64 * math.log(2)) < 1e-4


def test_nothing_breaks_as_time_goes_to_zero(sde, rng):
    """Down to s = 1e-8 the weighted draws stay finite, and as small as the tail of q makes them."""
    a = MLP(2, rng).requires_grad_(False)
    x = torch.randn(2048, 2, generator=rng)
    controls = fit_controls(a, x, GaussianReference.fit(sde, x), rng)
    middle = efficient(
        a, x, torch.full((2048,), 0.5).double(), torch.randn(x.shape, generator=rng), controls
    ).value
    for s in (1e-3, 1e-5, 1e-8):
        u = controls.law.cdf(torch.full((2048,), s, dtype=torch.float64))
        assert torch.allclose(controls.law.icdf(u), torch.tensor(s).double(), rtol=1e-4)
        value = efficient(a, x, u, torch.randn(x.shape, generator=rng), controls).value
        assert value.isfinite().all()
        assert value.std() < 20 * middle.std()


def test_paired_differences_are_sharper_than_the_curves(model, network, rng):
    other = unet(rng)
    other.load_state_dict({k: v * 1.02 for k, v in network.state_dict().items()})
    arrays = []
    for net in (network, other):
        z, u, _ = evaluate(model, net, settings(passes=3, pilot=256), "efficient")
        arrays.append({"efficient_00000007": z, "u": u})
    (row,) = paired_differences(*arrays)
    means = [a["efficient_00000007"].mean() for a in arrays]
    assert row["iteration"] == 7
    assert row["difference"] == pytest.approx(means[0] - means[1])
    spread = arrays[0]["efficient_00000007"].std() / 64**0.5
    assert row["std_err"] < spread / 2


def test_bad_input_is_one_sentence(sde, model, network):
    broken = lambda y, s: network(y, s) * float("nan")  # noqa: E731
    for estimator in ("published", "efficient"):
        with pytest.raises(VdiffError, match="output is not finite"):
            evaluate(model, broken, settings(), estimator)
    empty = Trained(model.run, Images(model.data.train, model.data.test[:0], 17))
    with pytest.raises(VdiffError, match="test set has 0 examples"):
        evaluate(empty, network, Evaluation(), "published")
    with pytest.raises(VdiffError, match="eps_t"):
        Debiased(sde, 2.0)


def test_the_configuration_names_the_estimators_that_there_are():
    assert set(ESTIMATORS) == set(get_args(Estimator))

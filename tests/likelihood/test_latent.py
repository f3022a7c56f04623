"""Images through an autoencoder: a linear-Gaussian pair whose bound is tight; diffusers' own."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vdiff
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError
from vdiff.likelihood.latent import with_vae
from vdiff.likelihood.noise import Streams

D, NOISE, C, B = 4, 0.3, 2.5, 0.4
W = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
"""Of orthogonal columns, so that the posterior of z has independent coordinates."""
OFFSET = torch.tensor([0.1, -0.2, 0.3, 0.0]).double()
MEANS = {
    "gaussian": torch.tensor([[0.5, -0.3]]).double(),
    "mixture": torch.tensor([[4.0, 4.0], [-4.0, 4.0], [0.0, -4.0]]).double(),
}
VARIANCE = 0.5  # of each component of z


class Linear:
    """x = W z + OFFSET + NOISE eps, z of components far apart: the exact posterior, which knows
    the component of x by its nearest mean."""

    def __init__(self, means, widened=1.0):
        self.means, self.widened = means, widened

    def encode(self, x):
        precision = 1 / VARIANCE + W.square().sum(0) / NOISE**2
        seen = (x - OFFSET) @ W / NOISE**2
        near = torch.cdist(seen / (W.square().sum(0) / NOISE**2), self.means).argmin(1)
        mean = (self.means[near] / VARIANCE + seen) / precision
        return mean, (self.widened**2 / precision).log().expand(len(x), 2)

    def decode(self, z):
        return z @ W.T + OFFSET

    def draw(self, n, seed):
        rng = torch.Generator().manual_seed(seed)
        z = self.means[torch.randint(len(self.means), (n,), generator=rng)]
        z = z + VARIANCE**0.5 * torch.randn(n, 2, generator=rng, dtype=torch.float64)
        return self.decode(z) + NOISE * torch.randn(n, D, generator=rng, dtype=torch.float64)

    def log_prob(self, x):
        covariance = VARIANCE * W @ W.T + NOISE**2 * torch.eye(D)
        each = [
            torch.distributions.MultivariateNormal(W @ m + OFFSET, covariance).log_prob(x)
            for m in self.means
        ]
        return (torch.logsumexp(torch.stack(each), 0) - math.log(len(each))).numpy()


def latents(means, scaling=C, shift=B):
    """The exact model of y = scaling (z - shift)."""
    data = Mixture(VPSDE(), scaling * (means - shift), scaling**2 * VARIANCE)
    return vdiff.wrap(
        lambda y, s: data.a(y, s), schedule="vp", predicts="drift", data=(2,), levels=None,
        check=False,
    )  # fmt: skip


def pair(kind="gaussian", **keys):
    vae = Linear(MEANS[kind])
    asked = {"sd": NOISE, "levels": None, "scaling": C, "shift": B, **keys}
    return vae, with_vae(latents(MEANS[kind]), vae, **asked)


def agrees(off, d=D):
    """Whether the mean of differences off (N,) is 0 within 4 errors and 0.003 nats per dimension,
    at a sample size that finds 0.01 with 80% power."""
    error = off.std() / len(off) ** 0.5
    assert 2.8 * error < 0.01 * d
    return abs(off.mean()) < 4 * error + 0.003 * d


@pytest.mark.parametrize("kind", MEANS)
def test_the_bound_of_an_exact_pair_is_the_density(kind):
    """And is not without the Jacobian of the scaling, nor without the encoder's entropy."""
    vae, model = pair(kind)
    x = vae.draw(3000, 1)
    found = model.fit(vae.draw(1024, 2)).log_prob(x, draws=64, batch_size=8192)
    off = found.value - vae.log_prob(x)
    assert agrees(off)
    assert not agrees(off - 2 * math.log(C))
    entropy = (vae.encode(x[:1])[1][0] + math.log(2 * math.pi * math.e)).sum() / 2
    assert not agrees(off - float(entropy))
    inside = np.abs(off) <= 1.96 * found.error + 0.005
    assert 0.93 <= inside.mean() <= 0.985
    assert found.d == D and found.of == "log p(x) through an autoencoder"
    assert found.of in repr(found)


def test_what_is_not_the_posterior_costs_its_divergence():
    """An encoder of twice the standard deviation: less by KL(q || p(z | x)), a number."""
    vae, _ = pair()
    wide = with_vae(
        latents(vae.means), Linear(vae.means, 2.0), sd=NOISE, levels=None, scaling=C, shift=B
    )
    x = vae.draw(3000, 1)
    off = wide.fit(vae.draw(1024, 2)).log_prob(x, draws=32, batch_size=8192).value - vae.log_prob(x)
    assert agrees(off + 2 * (4 - 1 - math.log(4)) / 2)
    assert not agrees(off)


def test_the_ode_behind_an_autoencoder_has_the_density_too():
    vae, model = pair()
    x = vae.draw(16, 1)
    found = model.log_prob(x, method="ode", draws=2, tolerance=1e-4)
    assert np.abs(found.value - vae.log_prob(x)).max() < 0.04


@pytest.mark.parametrize("of", ["mean", "draw"])
def test_the_density_of_latents_alone(of):
    """log p(z) in the autoencoder's units, of one z for each example and seed; without the Jacobian
    it is 1.8 nats off."""
    vae, model = pair(of=of, sd=None)
    x = vae.draw(2000, 1)
    mean, logvar = vae.encode(x)
    of_x = Streams(x, "vectors", 0)
    z, eps = mean, of_x.same(torch.arange(2000), (2,), "encoder", torch.float64)
    if of == "draw":
        z = z + (logvar / 2).exp() * eps
        assert abs(float(eps.var()) - 1) < 0.1
    truth = torch.distributions.Normal(vae.means[0], VARIANCE**0.5).log_prob(z).sum(1).numpy()
    found = model.fit(vae.draw(1024, 2)).log_prob(x, draws=32, batch_size=8192)
    assert agrees(found.value - truth, 2)
    assert not agrees(found.value - truth - 2 * math.log(C), 2)
    said = {"mean": "log p(z) at the encoder's mean", "draw": "log p(z) at a draw of the encoder"}
    assert (found.d, found.of) == (2, said[of])
    ode = model.log_prob(x[:8], method="ode", tolerance=1e-4)
    assert np.abs(ode.value - truth[:8]).max() < 0.04


def test_an_example_has_the_number_that_it_has_among_others():
    vae, _ = pair()
    x = vae.draw(6, 1)
    for of in ("x", "mean", "draw"):
        model = pair(of=of)[1].fit(vae.draw(256, 2))
        every = model.log_prob(x, draws=4)
        alone = model.log_prob(x[3:4], draws=4, batch_size=3)
        assert np.allclose(alone.value, every.value[3], rtol=1e-6)
        other = model.log_prob(x, draws=4, seed=1)
        assert not np.allclose(other.value, every.value, rtol=1e-6)


def test_the_decoders_standard_deviation_is_fitted_on_request():
    """That of x given z; at draws of the posterior, for the encoder and the decoder are exact."""
    vae, _ = pair()
    _, model = pair(sd=vae.draw(4000, 3))
    assert model.space.sd == pytest.approx(NOISE, rel=0.02)


@pytest.mark.parametrize("z", [(0.6, 1.5), (0.7, -3.0), (-40.0, 40.0)])
def test_the_grey_levels_of_a_latent_have_probabilities_that_sum_to_one(z):
    """Over all images of four pixels of five levels, wherever the decoder's mean is; those of a
    density times the cells' volume do not."""
    k = torch.cartesian_prod(*[torch.arange(5)] * D)
    _, model = pair(levels=5, range=(-1.0, 1.0))
    many = torch.tensor([z]).double().expand(len(k), 2)
    log_p = model.space._decoder(k, -1 + 0.5 * k.double(), many)
    assert float(torch.logsumexp(log_p, 0)) == pytest.approx(0, abs=1e-9)
    _, real = pair()
    density = real.space._decoder(k, -1 + 0.5 * k.double(), many)
    assert abs(float(torch.logsumexp(density, 0)) + D * math.log(0.5)) > 0.01


def test_grey_levels_have_their_probability():
    """Levels that are fine beside the noise: the probability is the density times their width; of
    256 levels, in the mean of images that are nowhere cut off."""
    vae, model = pair(levels=256, range=(-8.0, 8.0))
    x = vae.draw(2500, 1)
    grey = ((x + 8) / model.space.step).round().clamp(0, 255).to(torch.uint8)
    pilot = ((vae.draw(1024, 2) + 8) / model.space.step).round().clamp(0, 255).to(torch.uint8)
    found = model.fit(pilot).log_prob(grey, draws=16, batch_size=8192)
    truth = vae.log_prob(-8 + model.space.step * grey.double()) + D * math.log(model.space.step)
    assert agrees(found.value - truth)
    # Its gradient, per level, is the score times the level's width.
    few = grey[:300]
    slope = model.gradient(few, draws=16)
    v = (-8 + model.space.step * few.double()).requires_grad_()
    covariance = VARIANCE * W @ W.T + NOISE**2 * torch.eye(D)
    law = torch.distributions.MultivariateNormal(W @ vae.means[0] + OFFSET, covariance)
    (score,) = torch.autograd.grad(law.log_prob(v).sum(), v)
    off = slope.value - model.space.step * score.numpy()
    inside = np.abs(off) <= 1.96 * slope.error + 0.002
    assert inside.mean() > 0.92


def small_vae(**keys):
    diffusers = pytest.importorskip("diffusers", reason="the extra models is not installed")
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=2, norm_num_groups=4, sample_size=8,
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, **keys,
    )  # fmt: skip


CONVENTIONS = {
    "Stable Diffusion": {"scaling_factor": 0.18215},
    "3 and Flux": {"scaling_factor": 1.5305, "shift_factor": 0.0609},
    "statistics": {"scaling_factor": 0.5, "latents_mean": (0.3, -0.1), "latents_std": (2.0, 3.0)},
}


def of_zeros(shape=(2, 4, 4)):
    return vdiff.wrap(lambda y, s: -y, schedule="vp", predicts="score", data=shape, levels=None)


@pytest.mark.parametrize("keys", CONVENTIONS.values(), ids=CONVENTIONS)
def test_diffusers_own_autoencoder_by_its_conventions(keys, rng):
    """Latents and images by its pipelines' code: the values of images are VaeImageProcessor's; log
    q(z | x) is its Gaussian's nll; the decoder's output becomes an image as postprocess has it."""
    vae = small_vae(**keys)
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor(vae_scale_factor=2)
    x = torch.randint(256, (3, 1, 8, 8), generator=rng).to(torch.uint8)
    model = with_vae(of_zeros(), vae, sd=0.2)
    y, log_det = model.space.drawn(x, torch.arange(3), Streams(x, "a"))
    values = processor.normalize(x.float() / 255)
    with torch.no_grad():
        law = vae.encode(values).latent_dist
    mean, std = (torch.tensor(keys.get(k, v)).reshape(-1, 1, 1) for k, v in (
        ("latents_mean", keys.get("shift_factor", 0.0)), ("latents_std", 1.0)))  # fmt: skip
    scaling = keys["scaling_factor"]
    z = y / scaling * std + mean
    with torch.no_grad():
        decoded = vae.decode(z).sample
    half, own = 1 / 255, torch.distributions.Normal(decoded.double(), 0.2)
    inner = own.cdf(values.double() + half) - own.cdf(values.double() - half)
    edge = torch.where(x == 0, own.cdf(values.double() + half), inner)
    mass = torch.where(x == 255, 1 - own.cdf(values.double() - half), edge)
    jacobian = float((16 * (scaling / std).log()).expand(2, 1, 1).sum())
    truth = mass.log().sum((1, 2, 3)) + law.nll(z).double() + jacobian
    assert torch.allclose(log_det, truth, rtol=1e-5)
    assert not torch.allclose(log_det - jacobian, truth, rtol=1e-5)

    at_mean = with_vae(of_zeros(), vae, of="mean")
    y, log_det = at_mean.space.drawn(x, torch.arange(3), Streams(x, "a"))
    assert torch.allclose(y, (law.mode() - mean) * scaling / std, atol=1e-5)
    assert torch.allclose(log_det, torch.full((3,), jacobian).double())
    with torch.no_grad():
        image = processor.postprocess(vae.decode(law.mode()).sample, output_type="np")
    grey = torch.from_numpy((image * 255).round().astype("uint8")).permute(0, 3, 1, 2)
    assert (model.space.of_vectors(y).int() - grey.int()).abs().max() <= 1
    assert model.sample(2, steps=3).shape == (2, 1, 8, 8)


def test_the_text_of_a_space_stands_for_the_weights():
    """By it `vdiff score` tells whose rows it has: the same in another process, another for other
    weights."""
    vae = small_vae()
    one, same = (repr(with_vae(of_zeros(), v, sd=0.2).space) for v in (vae, small_vae()))
    assert one == same and "0x" not in one
    next(vae.decoder.parameters()).data[0] += 0.01
    assert repr(with_vae(of_zeros(), vae, sd=0.2).space) != one


def test_a_model_behind_an_autoencoder_is_diagnosed():
    vae, model = pair()
    assert not any(f.severity == "certain" for f in model.diagnose(vae.draw(64, 1)).findings)


def test_an_autoencoder_in_half_precision_and_train_mode_is_asked_as_it_is(rng):
    x = torch.randint(256, (2, 1, 8, 8), generator=rng).to(torch.uint8)
    vae = small_vae().train()
    one = with_vae(of_zeros(), vae, sd=0.2).log_prob(x, draws=4)
    assert vae.training
    half = with_vae(of_zeros(), vae.bfloat16(), sd=0.2).log_prob(x, draws=4)
    assert np.allclose(one.value, half.value, rtol=0.05)


WRONG = {
    "pixels": (lambda: vdiff.wrap(lambda y, s: y, schedule="vp", predicts="noise", data=(2, 4, 4)),
               {"sd": 1.0}, "real vectors"),
    "no sd": (of_zeros, {}, "needs sd"),
    "sd": (of_zeros, {"sd": -1.0}, "sd is -1"),
    "of": (of_zeros, {"sd": 1.0, "of": "z"}, "of is 'z'"),
    "shape": (lambda: of_zeros((3, 4, 4)), {"sd": 1.0}, "cannot be asked"),
    "scaling": (of_zeros, {"sd": 1.0, "scaling": [1.0, 0.0]}, "scaling above 0"),
    "training images": (of_zeros, {"sd": torch.zeros(3, 8, 8)}, "must be grey levels"),
    "levels": (of_zeros, {"sd": 1.0, "levels": 1}, "levels is 1; it must be 2 to 256"),
    "range": (of_zeros, {"sd": 1.0, "range": (1, -1)}, r"range is \(1, -1\)"),
    "words": (of_zeros, {"sd": 1.0, "scaling": "a"}, "The scaling is 'a'"),
    "shift": (of_zeros, {"sd": 1.0, "shift": float("nan")}, "the shift .nan.; they must be"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(what):
    make, keys, words = WRONG[what]
    with pytest.raises(VdiffError, match=words):
        with_vae(make(), small_vae(), **keys)


@pytest.mark.parametrize("sd", [np.float32(0.5), torch.tensor(0.5)])
def test_a_standard_deviation_may_be_a_number_of_any_kind(sd):
    assert with_vae(of_zeros(), small_vae(), sd=sd).space.sd == 0.5


def test_autoencoders_without_a_gaussian_are_refused():
    for encode in (lambda x: x[:, :2], lambda x: SimpleNamespace(latents=x[:, :2])):
        vae = SimpleNamespace(encode=encode, decode=lambda z: z @ W.T)
        with pytest.raises(VdiffError, match="without which there is no bound"):
            with_vae(latents(MEANS["gaussian"]), vae, sd=1.0, levels=None)
    noisy = Linear(MEANS["gaussian"])
    noisy.decode = lambda z: z @ W.T + torch.randn(len(z), D)
    with pytest.raises(VdiffError, match="decoder is random"):
        with_vae(latents(MEANS["gaussian"]), noisy, sd=1.0, levels=None)

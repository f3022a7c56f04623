"""The coordinates of Gaussian references: orthonormal, and worth what they cost."""

import math

import pytest
import torch

from vdiff.diffusion.choice import fitted, kinds_for, untried
from vdiff.diffusion.control import Pilot, efficient
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.tensors import expand_like
from vdiff.diffusion.transforms import cosine, dense, identity, leading
from vdiff.diffusion.transforms.cosine import cosines

KINDS = {
    "identity": identity.fit,
    "dense": dense.fit,
    "cosine": cosine.fit,
    "leading": leading.fit_on(identity.fit, 16),
    "cosine, leading": leading.fit_on(cosine.fit, 16),
}
SHAPES = [(5,), (4, 6), (3, 4, 6), (2, 3, 2, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_transform_is_orthonormal(kind, shape, rng):
    x = torch.randn(40, *shape, generator=rng, dtype=torch.float64)
    transform, variances = KINDS[kind](x * torch.linspace(0.1, 1, shape[-1]))
    d = math.prod(shape)
    matrix = transform(torch.eye(d, dtype=torch.float64).reshape(d, *shape))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(d, dtype=torch.float64))
    assert variances.shape == (d,) and (variances > 0).all()


def test_the_cosine_transform_is_scipys():
    from scipy.fft import dctn

    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    transform, _ = cosine.fit(x[None].expand(3, -1, -1))
    found = transform(x[None]).reshape(7, 5)
    torch.testing.assert_close(found, torch.from_numpy(dctn(x.numpy(), norm="ortho")))


def test_leading_with_all_coordinates_has_the_variances_of_dense(rng):
    x = torch.randn(500, 3, 4, generator=rng, dtype=torch.float64).cumsum(2)
    whole = leading.fit_on(identity.fit, 12)(x)[1].sort().values
    torch.testing.assert_close(whole, dense.fit(x)[1].sort().values)
    assert not torch.allclose(identity.fit(x)[1].sort().values, whole, rtol=0.5)


SIZE = 18  # pixels a side, of three colours: 972 dimensions, of which few examples tell little


def field(n, rng):
    """Stationary images: white noise through a low pass, and mixed colours; with their law's exact
    drift by the cosine transform."""
    k = torch.arange(SIZE, dtype=torch.float64)
    spectrum = 1 / (0.05 + (k[:, None] ** 2 + k**2) / SIZE)
    mix = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.float64))[0]
    of_colours = torch.tensor([2.0, 0.5, 0.1], dtype=torch.float64)
    C = cosines(SIZE)
    power = of_colours[:, None, None] * spectrum

    def there(x):
        return C @ torch.einsum("cd,bchw->bdhw", mix, x) @ C.T

    def back(z):
        return torch.einsum("cd,bdhw->bchw", mix, C.T @ z @ C)

    z = torch.randn(n, 3, SIZE, SIZE, generator=rng, dtype=torch.float64)
    sde = VPSDE()

    def a(y, s):
        m, var = (expand_like(f(s), y) for f in (sde.m, sde.var))
        return -expand_like(sde.g(s), y) * back(there(y) / (m.square() * power + var))

    constant = (power.log().sum() + 3 * SIZE**2 * math.log(2 * math.pi)) / 2

    def log_prob(x):
        return -(there(x).square() / power).flatten(1).sum(1) / 2 - constant

    return sde, back(z * power.sqrt()), a, log_prob


def test_stationary_images_are_best_by_the_cosine_transform(rng, monkeypatch):
    """And the bound of their exact network is their likelihood, whichever reference is taken. From
    128 examples of 972 dimensions the whole covariance is hardly known: it leaves 4 times the
    variance."""
    monkeypatch.setattr("vdiff.diffusion.choice.DENSE", 0)
    sde, x, a, log_prob = field(160, rng)
    train, test = x[:128], x[128:]
    pilot = Pilot.of(sde, lambda rows: a, train, rng, 1e-3, 64)
    assert set(kinds_for(train)) == {"cosine", "cosine, leading", "leading"}
    of = {kind: pilot.fit(GaussianReference.fit(sde, train, KINDS[kind])) for kind in KINDS}
    controls = {kind: found.controls() for kind, found in of.items()}
    controls["chosen"] = fitted(sde, pilot)
    reference = GaussianReference.fit(sde, train, untried(train))
    controls["untried"] = pilot.fit(reference).controls()
    u = torch.rand(32, generator=rng, dtype=torch.float64)
    eps = torch.randn(test.shape, generator=rng, dtype=torch.float64)
    left = {}
    for kind, found in controls.items():
        gap = efficient(a, test, u, eps, found).value - log_prob(test)
        assert gap.mean().abs() < 4 * gap.std() / len(gap) ** 0.5, kind
        left[kind] = float(gap.var())
    assert left["chosen"] <= left["cosine"]
    assert max(left["chosen"], left["untried"]) < left["dense"] / 4
    assert left["dense"] < left["identity"]

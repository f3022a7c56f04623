"""Images through an autoencoder whose latents have a diffusion model.

For the encoder q(z | x), a diagonal Gaussian, and any law p(x | z) of the decoder,

    log p(x) >= E_q[ log p(x | z) + log p(z) - log q(z | x) ]        (arXiv 1312.6114)

The network sees y = c (z - b), so that log p(z) = log p(y) + sum log c; diffusers' configurations
have c as scaling_factor, over latents_std if any, and b as shift_factor or latents_mean. With the
bound on log p(y) the whole is a bound on log p(x). What the autoencoder adds to log p(y) is for the
model of the latents what dequantisation is for one of pixels, drawn anew with each draw.
"""

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.decoders import log_mass
from vdiff.diffusion.tensors import sum_features
from vdiff.errors import VdiffError, first_line
from vdiff.likelihood.model import Model
from vdiff.likelihood.network import evaluating, modules_of, precision_of, tensor_of
from vdiff.likelihood.noise import Streams
from vdiff.likelihood.space import Space
from vdiff.likelihood.wrap import check_levels, checked_range

Of = Literal["x", "mean", "draw"]
OF = {
    "x": "log p(x) through an autoencoder",
    "mean": "log p(z) at the encoder's mean",
    "draw": "log p(z) at a draw of the encoder",
}
FAR = 100.0  # standard deviations beyond which a normal has no mass
ROWS = 32  # that the decoder's standard deviation is fitted on at once


@dataclass(frozen=True)
class Autoencoder:
    """vae.encode(x) gives a Gaussian, as `latent_dist` with mean and logvar or as these two;
    vae.decode(z) gives the mean of p(x | z), or has it as `sample`. Both are asked in eval mode,
    where the weights are and in their precision. scale, shift: c and b, (C,) or (1,) numbers."""

    vae: Any = field(repr=False)
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, logvar) of q(z | x), float64. Raises VdiffError where it gives none."""
        law = self._asked("encode", x)
        law = getattr(law, "latent_dist", law)
        if hasattr(law, "logvar"):
            law = law.mean, law.logvar
        if not (isinstance(law, tuple) and len(law) == 2):
            raise VdiffError(
                f"The autoencoder's encode gives a {type(law).__name__}; it must give a Gaussian "
                "with mean and logvar, without which there is no bound."
            )
        return law[0].to(x), law[1].to(x)

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x | z), float64."""
        return tensor_of(self._asked("decode", z)).to(z)

    def seen(self, z: Tensor) -> Tensor:
        """y of z (B, C, ...)."""
        return _per_channel(self.scale, z) * (z - _per_channel(self.shift, z))

    def of_seen(self, y: Tensor) -> Tensor:
        """z of y (B, C, ...)."""
        return y / _per_channel(self.scale, y) + _per_channel(self.shift, y)

    def log_det(self, shape: tuple[int, ...]) -> float:
        """log |dy / dz| for latents of that shape, in nats."""
        each = _per_channel(self.scale, torch.zeros(1, *shape).double()).log()
        return float(each.expand(1, *shape).sum())

    def marks(self) -> str:
        """A digest of the weights."""
        digest = hashlib.sha256()
        for module in modules_of(self.vae):
            for name, v in module.state_dict().items():
                digest.update(name.encode() + v.detach().cpu().double().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _asked(self, name: str, v: Tensor) -> Any:
        modules = modules_of(self.vae)
        device = next((p.device for m in modules for p in m.parameters()), v.device)
        with evaluating(modules):
            ask = getattr(self.vae, name)
            return ask(v.to(device, precision_of(modules) if modules else v.dtype))


@dataclass(frozen=True)
class LatentSpace:
    """Images as the latents that a network sees. shape: of these; pixels: the space of images;
    ends: what grey levels 0 and levels - 1 are to the encoder; sd: the decoder's standard
    deviation, in the same units; kind: what the likelihood is of; marks: of the weights."""

    autoencoder: Autoencoder
    shape: tuple[int, ...]
    pixels: Space
    ends: tuple[float, float]
    sd: float
    kind: Of
    marks: str

    @property
    def levels(self) -> None:
        """Latents are real vectors."""
        return None

    @property
    def d(self) -> int:
        return math.prod(self.shape)

    @property
    def d_x(self) -> int:
        return self.pixels.d if self.kind == "x" else self.d

    @property
    def random(self) -> bool:
        return self.kind == "x"

    @property
    def guess(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def of(self) -> str:
        return OF[self.kind]

    @cached_property
    def step(self) -> float:
        """From one grey level to the next."""
        return (self.ends[1] - self.ends[0]) / ((self.pixels.levels or 2) - 1)

    def values(self, x: Tensor) -> Tensor:
        """Images as the encoder is shown them, float64."""
        return x.double() if self.pixels.levels is None else self.ends[0] + self.step * x.double()

    def examples(self, x: Any) -> Tensor:
        """As `Space` has it."""
        return self.pixels.examples(x)

    def drawn(self, x: Tensor, of: Tensor, noise: Streams) -> tuple[Tensor, Tensor]:
        """As `Space` has it, z being a draw of q(z | x), or what `kind` says."""
        values = self.values(x)
        with torch.set_grad_enabled(x.requires_grad):
            mean, logvar = self._encoded(values, of)
            eps = torch.zeros_like(mean)
            if self.kind == "x":
                eps = noise.normal(of, self.shape, "encoder", torch.float64)
            elif self.kind == "draw":
                eps = noise.same(of, self.shape, "encoder", torch.float64)
            z = mean + (logvar / 2).exp() * eps
            log_det = torch.full((len(x),), self.autoencoder.log_det(self.shape)).double()
            if self.kind == "x":
                log_det = log_det + self._decoder(x, values, z) - _log_normal(eps, logvar / 2)
            return self.autoencoder.seen(z).float(), log_det

    def of_vectors(self, y: Tensor) -> Tensor:
        """The decoder's means at y, as images."""
        with torch.no_grad():
            x = self.autoencoder.decode(self.autoencoder.of_seen(y.double()))
        if self.pixels.levels is None:
            return x.float()
        grey = ((x - self.ends[0]) / self.step).round()
        return grey.clamp(0, self.pixels.levels - 1).to(torch.uint8)

    def _encoded(self, values: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
        """Of each row; without gradients an example of several rows is encoded once."""
        if values.requires_grad:
            return self.autoencoder.encode(values)
        _, rows, counts = torch.unique_consecutive(of, return_inverse=True, return_counts=True)
        mean, logvar = self.autoencoder.encode(values[counts.cumsum(0) - counts])
        return mean[rows], logvar[rows]

    def _decoder(self, x: Tensor, values: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), (B,) nats: a Gaussian's log density, or that of its mass between the edges
        of grey levels, the first and last of which have no outer one (arXiv 2006.11239)."""
        off = (values - self.autoencoder.decode(z)) / self.sd
        if self.pixels.levels is None:
            return _log_normal(off, torch.full_like(off, math.log(self.sd)))
        low, high = off - self.step / 2 / self.sd, off + self.step / 2 / self.sd
        low = torch.where(x <= 0, high.clamp(max=0) - FAR, low)
        high = torch.where(x >= self.pixels.levels - 1, low.clamp(min=0) + FAR, high)
        return sum_features(log_mass(low, high))


def with_vae(
    model: Model,
    vae: Any,
    *,
    sd: Any = None,
    of: Of = "x",
    levels: int | None = 256,
    range: tuple[float, float] = (-1.0, 1.0),
    scaling: float | Sequence[float] | None = None,
    shift: float | Sequence[float] | None = None,
) -> Model:
    """A model of images, from a model of their latents and the autoencoder, such as diffusers'
    AutoencoderKL.

    With of="x" a result is a bound on log p(x) with the terms of decoder and encoder (arXiv
    1312.6114), by one draw of z for each draw of the bound. With "mean" or "draw" it is log p(z)
    alone, a density of latents as the encoder gives them, which says nothing about x. Results are
    labelled so, and their bits/dim are per dimension of x or of z. Samples are the decoder's means.

    Arguments:
        model: A model of latents, real vectors (`levels=None` of `wrap`).
        vae: encode(x) gives a Gaussian, decode(z) a mean.
        sd: Standard deviation of the decoder, in the units of `range`: a number, or training images
            (N, ...) to fit it on, as the root mean squared error of what comes back. "x" needs it;
            diffusers' autoencoders do not come with it.
        of: "x", or log p(z) at the encoder's "mean" or at one "draw" of it for each example and
            seed.
        levels: How many grey levels images have, 2 to 256, whose probability is bounded, or None
            for real images, whose density is.
        range: What the grey levels 0 and levels - 1 are to the encoder.
        scaling: The network sees scaling (z - shift): a number above 0 or one per channel, by
            default that of the autoencoder's configuration.
        shift: A number or one per channel, by default that of the autoencoder's configuration.

    Raises:
        VdiffError: When the model is not one of real vectors, its latents are not the
            autoencoder's, the autoencoder gives no Gaussian or decodes at random, or an argument is
            none of these.
    """
    space = model.space
    if not isinstance(space, Space) or space.levels is not None:
        raise VdiffError(
            "The model is not one of latents: it must be of real vectors, so wrap it with "
            "levels=None."
        )
    check_levels(levels)
    if of not in OF:
        raise VdiffError(f"of is {of!r}; it must be one of {', '.join(OF)}.")
    if sd is None and of == "x":
        raise VdiffError(
            "The bound on log p(x) needs sd, the decoder's standard deviation, which autoencoders "
            "do not come with: give a number in the units of range, or training images."
        )
    autoencoder = Autoencoder(vae, *_convention(vae, scaling, shift, space.shape[0]))
    shape = _checked(autoencoder, space.shape)
    pixels = Space(shape, levels)
    ends = checked_range(range)
    made = LatentSpace(autoencoder, space.shape, pixels, ends, math.nan, of, autoencoder.marks())
    if sd is not None:
        sd = _fitted(made, sd) if np.ndim(sd) or isinstance(sd, str) else float(sd)
        if not 0 < sd < math.inf:
            raise VdiffError(f"sd is {sd:g}; it must be above 0 and finite.")
        made = replace(made, sd=sd)
    latent = copy.copy(model)
    latent.space, latent.data = made, None
    return latent


def _fitted(space: LatentSpace, x: Any) -> float:
    """The root mean squared error of the decoder at draws of q(z | x), x (N, ...): the likeliest
    standard deviation of a Gaussian."""
    x, total = space.examples(x), 0.0
    noise = Streams(x, "decoder")
    for k in torch.arange(len(x)).split(ROWS):
        values = space.values(x[k])
        with torch.no_grad():
            mean, logvar = space.autoencoder.encode(values)
            eps = noise.normal(k, space.shape, "encoder", torch.float64)
            back = space.autoencoder.decode(mean + (logvar / 2).exp() * eps)
        total += float((values - back).square().sum())
    return math.sqrt(total / x.numel())


def _convention(
    vae: Any, scaling: Any, shift: Any, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(c, b), as given or as a configuration of diffusers has them."""
    config = dict(getattr(vae, "config", None) or {})
    if scaling is None:
        c = torch.tensor(config.get("scaling_factor") or 1.0).double()
        scaling = c / torch.tensor(config.get("latents_std") or 1.0).double()
    if shift is None:
        mean = config.get("latents_mean")
        shift = mean if mean is not None else config.get("shift_factor") or 0.0
    try:
        c, b = (torch.as_tensor(v).double().flatten() for v in (scaling, shift))
    except (TypeError, ValueError, RuntimeError) as error:
        raise VdiffError(
            f"The scaling is {scaling!r} and the shift {shift!r}; they must be numbers: "
            f"{first_line(error)}."
        ) from None
    finite = bool(torch.isfinite(c).all() and torch.isfinite(b).all())
    if not {len(c), len(b)} <= {1, channels} or not (c > 0).all() or not finite:
        raise VdiffError(
            f"The scaling is {c.tolist()} and the shift {b.tolist()}; they must be numbers, or one "
            f"for each of {channels} channels, and the scaling above 0."
        )
    return tuple(c.tolist()), tuple(b.tolist())


@torch.no_grad()
def _checked(autoencoder: Autoencoder, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an image, for latents of that shape. Raises VdiffError for what does not fit, or
    answers at random."""
    z = torch.zeros(1, *shape, dtype=torch.float64)
    try:
        x, again = autoencoder.decode(z), autoencoder.decode(z)
        mean, logvar = autoencoder.encode(x)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise VdiffError(
            f"The autoencoder cannot be asked: {type(error).__name__}, {first_line(error)} (the "
            f"model's latents are of shape {shape})."
        ) from None
    if mean.shape != z.shape or logvar.shape != z.shape:
        raise VdiffError(
            f"The autoencoder's latents are of shape {tuple(mean.shape[1:])}, the model's {shape}."
        )
    if not torch.equal(x, again):
        raise VdiffError("The autoencoder's decoder is random; there must be one image for each z.")
    return tuple(x.shape[1:])


def _per_channel(v: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(v).to(like).reshape(-1, *[1] * (like.ndim - 2))


def _log_normal(eps: Tensor, log_sd: Tensor) -> Tensor:
    """Log density of mean + sd eps, (B,) nats."""
    return -sum_features(eps.square() / 2 + log_sd + math.log(2 * math.pi) / 2)

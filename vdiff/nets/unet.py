"""The U-Net of Ho et al. (arXiv 2006.11239), as the paper's image experiments use it.

Two convolutions per residual block with GroupNorm and swish, a sinusoidal time embedding added
between them, self-attention at chosen resolutions and always in the middle, strided
convolutions down, nearest-neighbour and a convolution up. Weights start by variance scaling
(uniform, fan average), the last convolution of every branch and of the net at almost zero.
"""

import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

# From so many channels a group, or pixels, torch (2.14) goes through the layout channels_last
# quickly on CPUs; below both, 7 to 66 times as slowly (findings/torch-group-norm-pixels.sh).
WIDE, LARGE = 16, 1024


class ResidualBlock(nn.Module):
    """GroupNorm-swish-conv twice, the time embedding between, and a shortcut around.

    The time is added before the second norm or, with scale_shift, scales and shifts what that
    returns, as in ADM (Dhariwal and Nichol, arXiv 2105.05233).
    """

    def __init__(self, cin: int, cout: int, ctime: int, groups: int, scale_shift: bool = False):
        super().__init__()
        self.scale_shift = scale_shift
        self.time = nn.utils.skip_init(nn.Linear, ctime, cout * (1 + scale_shift))
        self.norm1 = _group_norm(cin, groups)
        self.conv1 = _conv(cin, cout)
        self.norm2 = _group_norm(cout, groups)
        self.conv2 = _conv(cout, cout, last=True)
        self.shortcut = _conv(cin, cout, size=1) if cin != cout else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        of_time = self.time(time)[:, :, None, None]
        if self.scale_shift:
            scale, shift = of_time.chunk(2, 1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(h + of_time)
        return self.shortcut(x) + self.conv2(silu(h))


class SelfAttention(nn.Module):
    """One head of attention over the H W positions, added to its input."""

    def __init__(self, c: int, groups: int):
        super().__init__()
        self.norm = _group_norm(c, groups)
        self.q, self.k, self.v = (_conv(c, c, size=1) for _ in range(3))
        self.out = _conv(c, c, size=1, last=True)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (p(h).flatten(2).transpose(1, 2) for p in (self.q, self.k, self.v))  # (B, HW, C)
        h = scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return x + self.out(h.reshape(x.shape))


class _Linear(nn.Module):
    """A y + B mean(y) + c with matrices and vector learned as functions of time; 0 at first.

    GroupNorm hides an image's level and colour from the U-Net; at high noise they are most of
    what is left of the image.
    """

    def __init__(self, cimage: int, ctime: int):
        super().__init__()
        self.coefficients = nn.utils.skip_init(nn.Linear, ctime, cimage * (2 * cimage + 1))
        self.coefficients.init_scale = 1e-10

    def forward(self, y: Tensor, time: Tensor) -> Tensor:
        B, C = y.shape[:2]
        of_pixel, of_mean, c = self.coefficients(time).split([C * C, C * C, C], 1)
        pixels = y.flatten(2)  # (B, C, HW)
        out = of_pixel.view(B, C, C) @ pixels
        out = out + of_mean.view(B, C, C) @ pixels.mean(2, keepdim=True) + c[:, :, None]
        return out.view(y.shape)


class UNet(nn.Module):
    """(y, s) -> R^(C H W); y (B, C, H, W), s (B,).

    time_scale multiplies s before the embedding: 1 as in the paper's code, 1000 as in DDPM.
    groups bounds the groups of every GroupNorm. With one channel a group, as in the 32-channel
    level of the paper's MNIST net, the norm cancels the time embedding added before it.
    fourier: angular frequencies of further inputs; dequantised grey levels are steps far finer
    than a convolution of a few channels resolves.
    linear: add a linear function of each pixel and of the mean colour to the output.
    further: so many channels more for each of the image's, in and out (`diffusion.levels`).
    scale_shift: how the time enters a `ResidualBlock`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        rng: torch.Generator,
        channels: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: int = 2,
        attention: tuple[int, ...] = (16,),
        time_scale: float = 1.0,
        groups: int = 32,
        fourier: tuple[float, ...] = (),
        linear: bool = False,
        further: int = 0,
        scale_shift: bool = False,
    ):
        super().__init__()
        cimage, height, _ = shape
        self.cimage = cimage
        self.channels, self.time_scale, self.fourier = channels, time_scale, fourier
        self.groups = groups
        ctime = 4 * channels
        self.time1 = nn.utils.skip_init(nn.Linear, channels, ctime)
        self.time2 = nn.utils.skip_init(nn.Linear, ctime, ctime)
        self.begin = _conv(cimage * (1 + 2 * len(fourier) + further), channels)

        widths = [channels * k for k in multipliers]
        sides = [height // 2**level for level in range(len(widths))]
        attend = [side in attention for side in sides]

        def stack(cin: int, cout: int, attends: bool) -> nn.ModuleList:
            block = ResidualBlock(cin, cout, ctime, groups, scale_shift)
            return nn.ModuleList([block, SelfAttention(cout, groups)] if attends else [block])

        self.down, skips = _down(channels, widths, blocks, attend, stack)
        c = widths[-1]
        self.middle = nn.ModuleList(
            [
                *stack(c, c, True),
                *stack(c, c, False),
            ]
        )
        self.up = _up(widths, blocks, attend, stack, skips)
        c = widths[0]
        self.norm = _group_norm(c, groups)
        self.end = _conv(c, cimage * (1 + further), last=True)
        self.linear = _Linear(cimage, ctime) if linear else None
        _initialise(self, rng)

    def forward(self, y: Tensor, s: Tensor) -> Tensor:
        time = _sinusoidal(s * self.time_scale, self.channels).to(y.dtype)
        time = silu(self.time2(silu(self.time1(time))))  # every block begins with this swish
        h = self._laid_out(self.begin(self._features(y)))
        skips = [h]
        for stage in self.down:
            for module in cast(Iterable, stage):
                if isinstance(module, nn.Conv2d):
                    h = self._laid_out(module(h))
                else:
                    h = _run(module, h, time)
                skips.append(h)
        h = _run(self.middle, h, time)
        for stage in self.up:
            for module in cast(Iterable, stage):
                if isinstance(module, nn.Conv2d):
                    h = self._laid_out(module(interpolate(h, scale_factor=2.0, mode="nearest")))
                else:
                    h = _run(module, torch.cat([h, skips.pop()], 1), time)
        out = self.end(silu(self.norm(h)))
        if self.linear is None:
            return out
        image, rest = out.tensor_split([self.cimage], 1)
        return torch.cat([image + self.linear(y[:, : self.cimage], time), rest], 1)

    @property
    def outputs(self) -> list[nn.Module]:
        """The layers that make the output."""
        return [self.end] if self.linear is None else [self.end, self.linear]

    def _laid_out(self, h: Tensor) -> Tensor:
        """On a CPU with the channels last in memory, as convolutions take them, which else turn
        input and output around; but not where torch's GroupNorm has no fast way through that
        layout. Elsewhere the weights' layout decides (`machine.devices.place`)."""
        if h.device.type != "cpu":
            return h
        _, C, H, W = h.shape
        narrow = C // math.gcd(self.groups, C) < WIDE and H * W < LARGE
        layout = torch.contiguous_format if narrow else torch.channels_last
        return h.contiguous(memory_format=layout)

    def _features(self, y: Tensor) -> Tensor:
        """The input with the image's Fourier features, 2 C channels more for each frequency."""
        image = y[:, : self.cimage]
        waves = [wave(w * image) for w in self.fourier for wave in (torch.sin, torch.cos)]
        return torch.cat([y, *waves], 1) if waves else y


def _down(
    channels: int,
    widths: list[int],
    blocks: int,
    attend: list[bool],
    stack: Callable[[int, int, bool], nn.ModuleList],
) -> tuple[nn.ModuleList, list[int]]:
    """The way down, a stage per level, and the channels of every skip connection."""
    stages, skips, c = nn.ModuleList(), [channels], channels
    for level, width in enumerate(widths):
        stage = nn.ModuleList()
        for _ in range(blocks):
            stage.append(stack(c, width, attend[level]))
            c = width
            skips.append(c)
        if level < len(widths) - 1:
            stage.append(_conv(c, c, stride=2))
            skips.append(c)
        stages.append(stage)
    return stages, skips


def _up(
    widths: list[int],
    blocks: int,
    attend: list[bool],
    stack: Callable[[int, int, bool], nn.ModuleList],
    skips: list[int],
) -> nn.ModuleList:
    """The way up, from the coarsest level to the finest; uses up the skip connections."""
    stages, c = nn.ModuleList(), widths[-1]
    for level, width in reversed(list(enumerate(widths))):
        stage = nn.ModuleList()
        for _ in range(blocks + 1):
            stage.append(stack(c + skips.pop(), width, attend[level]))
            c = width
        if level > 0:
            stage.append(_conv(c, c))
        stages.append(stage)
    return stages


def _run(modules: nn.ModuleList, h: Tensor, time: Tensor) -> Tensor:
    for module in modules:
        h = module(h, time)
    return h


def _group_norm(c: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(groups, c), c, eps=1e-6)


def _conv(cin: int, cout: int, size: int = 3, stride: int = 1, last: bool = False) -> nn.Conv2d:
    conv = nn.utils.skip_init(nn.Conv2d, cin, cout, size, stride, padding=size // 2)
    conv.init_scale = 1e-10 if last else 1.0
    return conv


def _initialise(net: nn.Module, rng: torch.Generator) -> None:
    """Variance scaling over the average of fan-in and fan-out; biases zero."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            w = module.weight
            fan = (w.shape[0] + w.shape[1]) * w[0, 0].numel() / 2
            bound = math.sqrt(3 * getattr(module, "init_scale", 1.0) / fan)
            nn.init.uniform_(w, -bound, bound, generator=rng)
            nn.init.zeros_(cast(Tensor, module.bias))


def _sinusoidal(s: Tensor, width: int) -> Tensor:
    """sin and cos of s at width/2 frequencies from 1 down to 1e-4, (B, width)."""
    half = width // 2
    frequencies = torch.exp(
        torch.arange(half, dtype=torch.float32, device=s.device) * (-math.log(10000) / (half - 1))
    )
    angle = s[:, None] * frequencies
    return torch.cat([angle.sin(), angle.cos()], 1)

import math

import pytest
import torch

from vdiff.config import Network
from vdiff.nets.mlp import MLP
from vdiff.nets.unet import ResidualBlock, UNet


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28)])
def test_unet_keeps_the_shape(shape, batch, rng):
    net = UNet(shape, rng, 16, (1, 2), 1, (8,), groups=4)
    y = torch.randn(batch, *shape, generator=rng)
    assert net(y, torch.rand(batch, generator=rng)).shape == y.shape


@pytest.mark.parametrize("batch", [1, 5])
def test_mlp_keeps_the_shape(batch, rng):
    y = torch.randn(batch, 2, generator=rng)
    assert MLP(2, rng)(y, torch.rand(batch, generator=rng)).shape == y.shape


def test_a_batch_is_its_examples(rng):
    """No example sees another: neither its pixels nor its time."""
    net = UNet((1, 8, 8), rng, 16, (1, 2), 1, (), time_scale=1000, groups=4)
    for p in net.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=rng)
    y, s = torch.randn(3, 1, 8, 8, generator=rng), torch.tensor([0.1, 0.5, 0.9])
    alone = torch.cat([net(y[i : i + 1], s[i : i + 1]) for i in range(3)])
    assert torch.allclose(net(y, s), alone, atol=1e-5)
    assert not torch.allclose(net(y, s), net(y, s.flip(0)), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "network", "parameters"),
    [
        ((1, 28, 28), Network(), 1_539_329),
        ((3, 32, 32), Network(channels=128, multipliers=[1, 2, 2, 2]), 35_746_307),
    ],
)
def test_the_papers_networks_have_the_papers_size(shape, network, parameters, rng):
    n = network
    net = UNet(shape, rng, n.channels, tuple(n.multipliers), n.blocks, tuple(n.attention))
    assert count(net) == parameters


def test_the_untrained_unet_is_almost_zero_and_follows_its_seed(rng):
    y, s = torch.randn(2, 1, 8, 8, generator=rng), torch.rand(2, generator=rng)
    nets = [
        UNet((1, 8, 8), torch.Generator().manual_seed(k), 16, (1, 2), 1, (), groups=4)
        for k in (0, 0, 1)
    ]
    outs = [net(y, s) for net in nets]
    assert outs[0].abs().max() < 1e-3
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_initialisation_has_the_stated_variance(rng):
    net = UNet((3, 8, 8), rng, 64, (1, 2), 1, ())
    w = net.down[1][0][0].conv1.weight  # 64 to 128 channels: fan average 9 (64 + 128) / 2
    assert w.var().item() == pytest.approx(1 / (9 * 96), rel=0.02)


def test_fourier_features_are_periodic_inputs(rng):
    """A net whose first convolution sees the waves alone repeats itself after a period."""
    net = UNet((1, 8, 8), rng, 8, (1, 2), 1, (), time_scale=1000, groups=4, fourier=(2.0, 4.0))
    with torch.no_grad():
        net.begin.weight[:, :1] = 0
        net.end.weight.copy_(torch.randn(net.end.weight.shape, generator=rng))
    y, s = torch.randn(3, 1, 8, 8, generator=rng), torch.rand(3, generator=rng)
    assert net(y, s).std() > 0.1
    assert torch.allclose(net(y + math.pi, s), net(y, s), atol=1e-4)
    assert not torch.allclose(net(y + 1, s), net(y, s), atol=1e-2)


def test_a_time_that_scales_and_shifts_is_not_lost_in_the_norm(rng):
    """Of one channel a group the norm takes away what is added to a channel, so that a block that
    adds the time does not see it; one that scales and shifts does, and without a scale and with no
    time to add both are one."""
    blocks = [ResidualBlock(4, 4, 6, groups=4, scale_shift=k) for k in (False, True)]
    for p in (p for block in blocks for p in block.parameters()):
        p.data = torch.randn(p.shape, generator=rng)
    x, (early, late) = torch.randn(2, 4, 8, 8, generator=rng), torch.randn(2, 2, 6, generator=rng)
    moved = [(block(x, early) - block(x, late)).abs().max() for block in blocks]
    assert moved[0] < 1e-3
    assert moved[1] > 1
    for block in blocks:
        block.time.weight.data.zero_()
        block.time.bias.data.zero_()
    blocks[1].load_state_dict(
        {k: v for k, v in blocks[0].state_dict().items() if not k.startswith("time")}, strict=False
    )
    assert torch.equal(blocks[0](x, early), blocks[1](x, early))


def test_the_linear_part_is_a_function_of_pixels_and_mean_colour(rng):
    """With coefficients that are constants it adds A y + B mean(y) + c; untrained, nothing."""
    plain = UNet((3, 8, 8), rng, 8, (1, 2), 1, (), time_scale=1000, groups=4)
    net = UNet((3, 8, 8), rng, 8, (1, 2), 1, (), time_scale=1000, groups=4, linear=True)
    plain.load_state_dict(net.state_dict(), strict=False)
    y, s = torch.randn(2, 3, 8, 8, generator=rng), torch.rand(2, generator=rng)
    assert net(y, s).abs().max() < 1e-3
    A, B, c = (torch.randn(n, generator=rng) for n in (9, 9, 3))
    with torch.no_grad():
        net.linear.coefficients.weight.zero_()
        net.linear.coefficients.bias.copy_(torch.cat([A, B, c]))
    wanted = torch.einsum("ij,bjhw->bihw", A.view(3, 3), y) + c[:, None, None]
    wanted = wanted + torch.einsum("ij,bjhw->bihw", B.view(3, 3), y.mean((2, 3), keepdim=True))
    assert torch.allclose(net(y, s) - plain(y, s), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "groups", "expected"),
    [(32, 4, {32: True, 16: False}), (8, 4, {8: False, 4: False}), (8, 1, {8: True, 4: True})],
)
def test_convolutions_are_given_channels_last_where_that_is_fast(side, groups, expected, rng):
    """Large levels, and those of wide groups; the output is that of the image in any layout."""
    net = UNet((3, side, side), rng, 16, (1, 2), 1, (side // 2,), groups=groups)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=rng) / 10
    y, s = torch.randn(3, 3, side, side, generator=rng), torch.rand(3, generator=rng)
    seen: dict[int, set[bool]] = {}

    def note(_, given):
        x = given[0]
        seen.setdefault(x.shape[-1], set()).add(x.is_contiguous(memory_format=torch.channels_last))

    for module in net.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.register_forward_pre_hook(note)
    out = net(y, s)
    assert seen == {k: {v} for k, v in expected.items()}
    assert torch.allclose(net(y.contiguous(memory_format=torch.channels_last), s), out, atol=1e-4)
    seen.clear()
    net.groups = 16 if groups == 1 else 1  # the control: another layout, and the same output
    assert torch.allclose(net(y, s), out, atol=1e-4)
    assert seen != {k: {v} for k, v in expected.items()}

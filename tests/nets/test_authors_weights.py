"""Weights of the authors' code give its outputs in our network."""

import pytest
import torch
from click.testing import CliRunner

from benchmarks.plain import PlainUNet
from vdiff.cli import main
from vdiff.errors import VdiffError
from vdiff.nets.authors import from_authors, names_of_authors
from vdiff.nets.unet import UNet

NETWORKS = {
    "mnist": ((1, 28, 28), 32, (1, 2, 2)),
    "cifar10": ((3, 32, 32), 128, (1, 2, 2, 2)),
}


@pytest.fixture(params=["mnist", pytest.param("cifar10", marks=pytest.mark.slow)])
def pair(request, rng):
    """A plain network with random weights, and ours of the same kind."""
    shape, channels, multipliers = NETWORKS[request.param]
    plain = PlainUNet(shape[0], shape[1], channels, multipliers)
    for p in plain.parameters():
        noise = torch.randn(p.shape, generator=rng)
        p.data = noise / p[0].numel() ** 0.5 if p.ndim > 1 else 1 + 0.1 * noise
    return request.param, shape, plain, UNet(shape, rng, channels, multipliers)


def test_outputs_are_the_published_ones(pair, rng):
    _, shape, plain, net = pair
    net.load_state_dict(from_authors(net, plain.state_dict()))
    y, s = torch.randn(3, *shape, generator=rng).double(), torch.tensor([0.01, 0.4, 1.0]).double()
    with torch.no_grad():
        theirs, ours = plain.double()(y, s), net.double()(y, s)
    assert theirs.std() > 0.1
    assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_every_name_is_matched_once_with_its_shape(pair):
    _, _, plain, net = pair
    names, theirs = names_of_authors(net), plain.state_dict()
    assert sorted(names.values()) == sorted(theirs)
    assert len(set(names.values())) == len(names)
    assert all(v.shape == theirs[names[k]].shape for k, v in net.state_dict().items())


def test_the_whole_reverse_sde_is_read_too(pair):
    _, _, plain, net = pair
    whole = {f"a.{name}": v for name, v in plain.state_dict().items()}
    whole |= {"T": torch.ones(1), "base_sde.T": torch.ones(1)}
    found = from_authors(net, whole)
    assert all(
        torch.equal(v, plain.state_dict()[names_of_authors(net)[k]]) for k, v in found.items()
    )


def test_what_does_not_fit_is_named(pair):
    _, _, plain, net = pair
    weights = plain.state_dict()
    with pytest.raises(VdiffError, match=r"lack begin_conv\.bias"):
        from_authors(net, {k: v for k, v in weights.items() if k != "begin_conv.bias"})
    with pytest.raises(VdiffError, match=r"temb_net.main.0.bias of shape \(1,\)"):
        from_authors(net, {**weights, "temb_net.main.0.bias": torch.ones(1)})
    with pytest.raises(VdiffError, match=r"hold extra\.weight"):
        from_authors(net, {**weights, "extra.weight": torch.ones(1)})


def test_imported_weights_can_be_sampled(tmp_path, rng):
    plain = PlainUNet(1, 28, 32, (1, 2, 2))
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    out = tmp_path / "imported"
    run = ["import-weights", str(tmp_path / "theirs.pt"), "--dataset", "mnist", "--out", str(out)]
    result = CliRunner().invoke(main, [*run, "--iteration", "100000"])
    assert result.exit_code == 0, result.output
    table = (out / "snapshots.csv").read_text().splitlines()
    assert table[1].startswith("mnist,debias-False,False,0,100000,1x28x28,")

    torch.save(plain, tmp_path / "module.pt")
    run[1] = str(tmp_path / "module.pt")
    result = CliRunner().invoke(main, run)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)

"""A diagnosis of networks: right claims, wrong ones, and what it says of each."""

import warnings

import numpy as np
import pytest
import torch

import vdiff
from benchmarks.oracle import exact, examples, wrapped
from vdiff.errors import VdiffError
from vdiff.likelihood.wrap import SCHEDULES

X = examples(300)[0].float()


def net_of(schedule, predicts):
    """An exact network that takes the number of the step, from 0."""
    net = exact(SCHEDULES[schedule][0](), predicts)
    return lambda y, step: net(y, (step + 1) / 1000)


RIGHT = [(schedule, "noise") for schedule in ("vp", "ve", "flow", "ddpm-linear", "ddpm-cosine")]
RIGHT += [("ve", "x0"), ("flow", "velocity"), ("ddpm-cosine", "x0"), ("ddpm-linear", "velocity")]


@pytest.mark.parametrize(("schedule", "predicts"), RIGHT)
def test_of_a_right_claim_nothing_is_said(schedule, predicts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrapped(schedule, predicts).fit(X)


@pytest.mark.parametrize(
    ("true", "said", "words"),
    [
        (("ddpm-cosine", "noise"), ("ddpm-linear", "noise"), "the times look like those of ddpm-c"),
        (("ddpm-scaled-linear", "noise"), ("ddpm-linear", "noise"), "of ddpm-scaled-linear"),
        (("ddpm-sigmoid", "v"), ("ddpm-linear", "v"), "those of ddpm-sigmoid"),
        (("ddpm-linear", "noise"), ("ddpm-linear", "velocity"), "its output looks like noise"),
        (("ddpm-linear", "v"), ("ddpm-linear", "noise"), "its output looks like v"),
    ],
)
def test_of_a_wrong_claim_it_is_said_what_fits(true, said, words):
    """Refused or, where it costs little, warned of."""
    schedule, predicts = said
    keys = {"schedule": schedule, "predicts": predicts, "data": (3,)}
    with warnings.catch_warnings(), pytest.raises((VdiffError, UserWarning), match=words):
        warnings.simplefilter("error")
        vdiff.wrap(net_of(*true), **keys).fit(X)
    vdiff.wrap(net_of(*true), **keys, check=False).fit(X)


@pytest.fixture(scope="module")
def of_gaussian():
    """A diagnosis of an exact network for a Gaussian of variance 0.05."""
    means = torch.zeros(1, 3, dtype=torch.float64)
    return wrapped("ve", "x0", means).diagnose(examples(2000, means=means)[0].float())


def test_the_table_has_the_bound_of_the_network(of_gaussian):
    """The integral of its nats is the bound's, up to a constant: of a Gaussian with variance v the
    errors are those of the linear denoiser, nsr v / (nsr + v)."""
    table = of_gaussian.to_pandas()
    assert np.allclose(table["error"], table["linear"], rtol=0.15)
    nsr = table["noise"] ** 2
    assert np.allclose(table["nats_per_log_snr"], 1.5 * 0.05 / (nsr + 0.05), rtol=0.2)
    assert (table["ratio"] < 1.1).all()
    assert "speaks against" in repr(of_gaussian)


def test_low_noise_that_is_worth_nothing_is_said():
    right = exact(SCHEDULES["ve"][0](), "x0")
    model = vdiff.wrap(
        lambda y, s: right(y, s) + 0.02 * torch.sign(y), schedule="ve", predicts="x0", data=(3,)
    )
    kinds = {f.kind: f.severity for f in model.diagnose(X).findings}
    assert kinds["low noise"] == "likely"
    assert "certain" not in kinds.values()
    with pytest.warns(UserWarning, match="no better than leaving the noise in"):
        model.fit(X)


def test_a_wrong_range_is_said():
    """Grey levels in [0, 1], said to be in [-1, 1]."""
    rng = torch.Generator().manual_seed(0)
    p = torch.tensor([0.0, 0.5, 0.5, 0.0])
    x = torch.multinomial(p, 1200, True, generator=rng).reshape(300, 1, 2, 2).to(torch.uint8)

    def net(y, s):
        """Of pixels uniform on the middle half of [0, 1], by a grid."""
        grid = torch.linspace(0.25, 0.75, 200)
        far = (y[..., None] - grid).square() / (2 * s.reshape(-1, 1, 1, 1, 1) ** 2)
        return (torch.softmax(-far, -1) * grid).sum(-1)

    keys = {"schedule": "ve", "predicts": "x0", "data": (1, 2, 2), "levels": 4, "s_min": 0.02}
    vdiff.wrap(net, **keys, range=(0, 1)).fit(x)
    with pytest.raises(VdiffError, match=r"range \(0\.0, 1\.0\)"):
        vdiff.wrap(net, **keys).fit(x)


def test_what_a_network_is_like_is_said():
    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
            self.eval()

        def forward(self, y, t):
            return -self.scale * y

    class Net(torch.nn.Module):
        def forward(self, y, t):
            return -y.detach()

    half = vdiff.wrap(Half(), schedule="vp", predicts="score", data=(2,)).diagnose(
        torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    )
    assert "precision" in {f.kind for f in half.findings}

    with pytest.warns(UserWarning, match="train mode"):
        model = vdiff.wrap(Net(), schedule="vp", predicts="score", data=(2,))
    found = model.diagnose(torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))
    assert {f.kind for f in found.findings if f.severity == "note"} >= {"gradient", "mode"}
    with pytest.raises(VdiffError, match="at least 32"):
        model.diagnose(torch.zeros(3, 2))


def test_of_data_that_are_one_point_the_arithmetic_says_nothing():
    """The linear denoiser is then exact; numpy would warn of divisions by its error."""
    model, x = wrapped("vp", "noise"), torch.zeros(64, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.diagnose(x)
    assert (found.linear == 0).all()
    assert {f.kind for f in found.findings} & {"denoiser", "low noise"}


def test_the_figure_has_both_errors(of_gaussian):
    figure = of_gaussian.plot()
    top, bottom = figure.axes
    assert [line.get_label() for line in top.lines] == ["network", "linear denoiser"]
    assert "nats" in bottom.get_ylabel()

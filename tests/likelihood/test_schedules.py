"""What `wrap` is told: tables of noise levels as whatever they come in, and what it refuses."""

import numpy as np
import pytest
import torch

import vdiff
from benchmarks.oracle import exact, examples
from vdiff.diffusion.sdes.table import (
    NO_SIGNAL,
    TableSDE,
    cosine,
    linear,
    scaled_linear,
    sigmoid,
    table_of,
    zero_terminal_snr,
)
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError

TABLES = {"linear": linear, "cosine": cosine, "scaled": scaled_linear, "sigmoid": sigmoid}
FORMS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "float32": lambda v: np.array(v, dtype=np.float32),
    "tensor": lambda v: torch.tensor(v, dtype=torch.float64),
    "parameter": lambda v: torch.nn.Parameter(torch.tensor(v)),
    "tensors": lambda v: list(torch.tensor(v, dtype=torch.float64)),
}


def named(abar):
    """The table in its four kinds, by their names."""
    abar = np.array(abar)
    alphas = abar / np.append(1.0, abar[:-1])
    return {
        "betas": 1 - alphas, "alphas": alphas, "alphas_cumprod": abar,
        "sqrt_alphas_cumprod": np.sqrt(abar),
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_taken_in_any_form(form):
    found = TableSDE(FORMS[form](linear()))
    assert np.allclose(found.abar, linear(), rtol=1e-3 if form in ("float32", "parameter") else 0)
    s = torch.tensor([0.3, 1.0])
    assert torch.allclose(found.log_nsr(s), TableSDE().log_nsr(s), rtol=1e-4)
    assert hash(found) is not None


@pytest.mark.parametrize("kind", named(linear()))
@pytest.mark.parametrize("table", TABLES)
def test_a_table_by_its_name_is_that_of_its_products(table, kind):
    abar = TABLES[table]()
    assert np.allclose(table_of(**{kind: named(abar)[kind]}).abar, abar, rtol=1e-7)


@pytest.mark.parametrize("steps", [200, 1000])
@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_a_name_is_abar_or_is_refused(table, steps):
    """Roots alone cannot be told: they are the abar of other betas, as the docstring says."""
    kinds = named(TABLES[table](steps) if table != "linear" else linear(1000))
    for kind in ("betas", "alphas"):
        with pytest.raises(VdiffError, match=rf"looks like {kind}.*table_of\({kind}=\.\.\.\)"):
            TableSDE(kinds[kind])
    for kind in ("alphas_cumprod", "sqrt_alphas_cumprod") if steps == 1000 else ():
        assert np.allclose(TableSDE(kinds[kind]).abar, kinds[kind])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.full(1000, 0.02), "looks like betas"),
        (np.full(1000, 0.98), "looks like alphas"),
        (linear()[::-1], "at step 1, counted from 0; abar must descend"),
        (1 - np.array(linear()), "at step 1, counted from 0; abar must descend"),
        ((*linear()[:500], *linear()[499:]), "at step 500, counted from 0"),
        (np.array(linear())[:, None], r"has shape \(1000, 1\)"),
        (0.5, r"has shape \(\)"),
        ((), "has 0 steps"),
        ((1.0, 0.5, 0.1), "has 3 steps from 1 to 0.1"),
        ([float("nan")] * 10, "has 10 steps from nan"),
        (None, "holds no numbers"),
        (["linear"], "holds no numbers"),
    ],
)
def test_what_is_no_table_is_refused(table, words):
    with pytest.raises(VdiffError, match=f"^A table of noise levels .*{words}"):
        TableSDE(table)


@pytest.mark.parametrize("keys", [{}, {"sigmas": [1.0]}, {"betas": [0.1], "alphas": [0.9]}])
def test_one_name_is_needed(keys):
    with pytest.raises(VdiffError, match="must be one of betas, alphas, alphas_cumprod"):
        table_of(**keys)


def test_a_name_goes_before_the_looks():
    """A table that ends early, with most of the signal, is one if it is said to be."""
    abar = linear()[:50]
    with pytest.raises(VdiffError, match="looks like alphas"):
        TableSDE(abar)
    assert table_of(alphas_cumprod=abar).abar == abar


@pytest.mark.parametrize("table", TABLES)
def test_a_last_step_without_signal_is_left_out_as_diffusers_writes_it(table):
    """2^-24 for 0, whether it is above the entry before or below it; elsewhere what rises is
    refused."""
    abar = zero_terminal_snr(TABLES[table]())
    assert abar[-1] == 0
    written = TableSDE((*abar[:-1], NO_SIGNAL))
    assert written == TableSDE(abar)
    assert written.T == TableSDE(abar).T == 0.999
    with pytest.raises(VdiffError, match="at step 999, counted from 0"):
        TableSDE((*abar[:-1], 0.1))


@pytest.mark.parametrize(
    "kind",
    [
        "DDPMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler", "UniPCMultistepScheduler",
    ],
)  # fmt: skip
def test_zero_snr_tables_of_diffusers_are_the_same_table(kind):
    diffusers = pytest.importorskip("diffusers")
    scheduler = getattr(diffusers, kind)(
        rescale_betas_zero_snr=True, beta_start=1e-4, beta_end=0.02, beta_schedule="linear"
    )
    ours = TableSDE(zero_terminal_snr(linear()))
    found = TableSDE(scheduler.alphas_cumprod)
    assert found.T == ours.T
    assert np.allclose(found.abar[:-2], ours.abar[:-2], rtol=2e-2)
    assert np.allclose(found.abar[:900], ours.abar[:900], rtol=1e-4)


def test_the_sigmoid_table_is_that_of_denoising_diffusion_pytorch():
    """Its ends as that package (2.3.4) has them, and its middle by symmetry."""
    abar = sigmoid()
    assert abar[0] == pytest.approx(0.99970, abs=5e-6)
    assert abar[-1] == pytest.approx(3.0e-7, rel=0.01)
    assert abar[499] == pytest.approx(0.5, abs=1e-6)
    assert abs(cosine()[499] - 0.5) > 5e-3  # the control


def off_truth(schedule, abar=None, n=300):
    """(mean, error), in nats, of the bound of n examples of a Gaussian by the exact noise network
    of `abar`, less their density."""
    right = exact(TableSDE(abar or linear()), "noise")
    model = vdiff.wrap(
        lambda y, step: right(y, (step + 1) / 1000), schedule=schedule, predicts="noise", data=(3,),
        check=False,
    )  # fmt: skip
    x, truth = examples(n)
    off = model.fit(x.float()).log_prob(x.float(), draws=8, batch_size=8 * n).value - truth
    return off.mean(), off.std() / n**0.5


@pytest.mark.parametrize("kind", named(linear()))
def test_a_model_takes_a_table_by_its_name(kind):
    """And has the truth by it, where roots for products do not."""
    off, error = off_truth({kind: named(linear())[kind]})
    assert abs(off) < 4 * error + 0.01
    if kind == "sqrt_alphas_cumprod":
        off, error = off_truth(named(linear())[kind], n=3000)
        assert off < -4 * error


def test_a_model_takes_a_table_as_it_is():
    off, error = off_truth(torch.tensor(linear()))
    assert abs(off) < 4 * error + 0.01
    with pytest.raises(VdiffError, match="looks like alphas"):
        off_truth(named(linear())["alphas"])


def test_the_sigmoid_schedule_has_a_name():
    off, error = off_truth("ddpm-sigmoid", sigmoid())
    assert abs(off) < 4 * error + 0.01


class Scheduler:
    alphas_cumprod = torch.tensor(linear())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"schedule": None}, "schedule is NoneType; it must be one of vp,"),
        ({"schedule": VPSDE}, r"schedule is VPSDE: an instance is meant, VPSDE\(\)"),
        ({"schedule": Scheduler()}, "schedule is Scheduler: its table alphas_cumprod is meant"),
        ({"schedule": {"beta": [0.1]}}, "given as beta; it must be one of betas"),
        ({"data": (3, None, None)}, r"data is \(3, None, None\)"),
        ({"data": (3, 0, 4)}, r"data is \(3, 0, 4\)"),
        ({"data": (-1, 4)}, r"data is \(-1, 4\)"),
        ({"data": (3, 4.0, 4.0)}, r"data is \(3, 4.0, 4.0\)"),
        ({"data": 3}, "data is 3; it must be the shape"),
        ({"data": None}, "data is None"),
        ({"data": ()}, r"data is \(\)"),
        ({"data": "3x4"}, "data is '3x4'"),
        ({"levels": 1}, "levels is 1; it must be 2 to 256"),
        ({"levels": 0}, "levels is 0"),
        ({"levels": 257}, "levels is 257"),
        ({"levels": 256.0}, "levels is 256.0"),
        ({"levels": True}, "levels is True"),
        ({"levels": "many"}, "levels is 'many'"),
        ({"range": (1, 1)}, r"range is \(1, 1\); it must be two finite numbers"),
        ({"range": (0, float("inf"))}, "range is"),
        ({"range": (float("nan"), 1)}, "range is"),
        ({"range": (0, 1, 2)}, "range is"),
        ({"range": 1}, "range is 1"),
        ({"range": ("a", "b")}, "range is"),
        ({"s_min": "a"}, "s_min is 'a'; it must be a number"),
        ({"ends_at": "a"}, "ends_at is 'a'"),
        ({"dequantisation": "normal"}, "dequantisation is 'normal'"),
        ({"dequantisation": float("inf")}, "dequantisation is inf"),
        ({"time": 3}, "time is 3; it must be a function"),
        ({"device": "gpu"}, "device is 'gpu', which torch cannot use here"),
    ],
)
def test_what_is_wrong_is_said_at_once(keys, words):
    right = {"schedule": "vp", "predicts": "noise", "data": (3, 4, 4)}
    vdiff.wrap(lambda y, t: y, **right)
    with pytest.raises(VdiffError, match=words):
        vdiff.wrap(lambda y, t: y, **{**right, **keys})


@pytest.mark.parametrize(("levels", "data"), [(2, (3, 4, 4)), (256, (4,)), (None, (3, 4, 4))])
def test_the_ends_of_what_is_allowed_are_taken(levels, data):
    space = vdiff.wrap(
        lambda y, t: y, schedule="vp", predicts="noise", data=data, levels=levels
    ).space
    assert (space.levels, space.shape) == (levels, data)

"""What networks are like: every form of the score of N(0, I) has its density, or is refused."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import vdiff
from vdiff.errors import VdiffError
from vdiff.likelihood.network import Asked, modules_of

KEYS = {"schedule": "vp", "predicts": "score"}
SHAPE = (3, 4, 4)
X = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))


def value(net, condition=None, x=X, **keys):
    """The bounds of x by few draws on fixed noise, in nats."""
    keys = {**KEYS, "data": tuple(x.shape[1:]), "levels": None, **keys}
    return vdiff.wrap(net, **keys).draws(x, condition, draws=2).mean(1)


C = torch.zeros(2)
RIGHT = functools.cache(lambda: value(lambda y, t, c: -y, C))


def told(net, condition=None, **keys):
    """Whether the network has the value that -y has; conditions keep it from being fitted."""
    return np.allclose(value(net, condition, **keys), RIGHT(), rtol=1e-4, atol=1e-3)


class Score(nn.Module):
    """-y by a convolution, whatever else it is told; `drop` does nothing in eval mode."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop = nn.Conv2d(3, 3, 1, bias=False), nn.Dropout(0.5)
        with torch.no_grad():
            self.conv.weight.copy_(-torch.eye(3)[..., None, None])

    def forward(self, y, t, condition=None):
        return self.drop(self.conv(y))


right = functools.partial(told, condition=C)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_is_asked_in_its_own_precision(dtype):
    """And y stays as it is around it: within the network's rounding of its float32 value."""
    net, seen = Score().eval().to(dtype), set()
    net.conv.register_forward_pre_hook(lambda _, given: seen.add(given[0].dtype))
    off = np.abs(value(net, C) - RIGHT()) / X[0].numel()
    assert seen == {dtype}
    assert off.max() < {torch.float64: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert value(net, C).dtype == np.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_time_keeps_its_digits_unless_the_network_cannot_take_them(dtype):
    """bfloat16 has no 999: a network that computes its embedding in float32 is given float32."""
    seen = []

    class Timed(Score):
        def forward(self, y, t, condition=None):
            seen.append(t)
            return super().forward(y, t)

    right(Timed().eval().to(dtype), time=lambda s: 999 * torch.ones_like(s))
    assert all(t.dtype == torch.float32 and (t == 999).all() for t in seen)

    class Linear(Score):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(1, 3)

        def forward(self, y, t, condition=None):
            return super().forward(y, t) + 0 * self.line(t[:, None])[..., None, None]

    assert np.isfinite(value(Linear().eval().to(dtype), C)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_overflow_is_unusable(dtype):
    net = Score().eval()
    net.conv.weight.data.mul_(3e38)
    with pytest.raises(VdiffError, match="not finite"):
        value(net.to(dtype), C)


def test_vectors_in_half_precision_are_taken():
    x = torch.tensor([[0.5, -1.0]])
    model = vdiff.wrap(lambda y, s: -y, **KEYS, data=(2,))
    model.controls = None
    assert np.array_equal(model.log_prob(x.half()).value, model.log_prob(x).value)


class Embedded(Score):
    """Takes whole steps from 0 to 999 only."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(1000, 3)

    def forward(self, y, t, condition=None):
        return super().forward(y, t) + 0 * self.embed(t)[..., None, None]


@pytest.mark.parametrize(
    "time",
    [
        lambda s: (1000 * s - 1).round().clamp(min=0),
        lambda s: (1000 * s - 1).round().clamp(min=0).long(),
        lambda s: (1000 * s - 1).round().clamp(min=0).int(),
    ],
)
def test_whole_times_reach_an_embedding_as_integers(time):
    assert right(Embedded().eval(), time=time)


def test_a_fraction_for_an_embedding_is_refused():
    for keys in ({}, {"schedule": "ddpm-linear"}):
        with pytest.raises(VdiffError, match=r"an integer, and is given .*round\(\)\.long\(\)"):
            value(Embedded().eval(), C, **keys)


def test_a_step_beyond_the_embedding_is_said_with_its_times():
    with pytest.raises(VdiffError, match=r"cannot be asked: IndexError.*torch.int64, from 5000"):
        value(Embedded().eval(), C, time=lambda s: 0 * s.long() + 5000)


@pytest.mark.parametrize("time", [lambda s: 3.0, lambda s: s[0], lambda s: s[:1]])
def test_times_that_are_not_one_an_example_are_refused(time):
    with pytest.raises(VdiffError, match="`time` gives"):
        value(lambda y, t: -y, torch.zeros(2), time=time)


class Output(dict):
    """As diffusers' outputs: a dict with attributes."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    "form",
    [
        lambda v: (v,),
        lambda v: [v, None],
        lambda v: {"sample": v, "other": v[:, :1]},
        lambda v: {"score": v},
        lambda v: Output(sample=v),
        lambda v: SimpleNamespace(sample=v, loss=v.sum()),
        lambda v: SimpleNamespace(prediction=v, name="unet"),
        lambda v: v.flatten(1),
        lambda v: v.double(),
    ],
)
def test_an_output_is_found_in_what_it_comes_in(form):
    assert right(lambda y, t, c: form(-y))


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda v: v[:, :1], r"shape \(3, 1, 4, 4\) for y of shape \(3, 3, 4, 4\)"),
        (lambda v: v[:1], r"shape \(1, 3, 4, 4\)"),
        (lambda v: v[:, 0, 0, 0], r"shape \(3,\)"),
        (lambda v: v.mean(), r"shape \(\)"),
        (lambda v: v[..., None], r"shape \(3, 3, 4, 4, 1\)"),
        (lambda v: v.movedim(1, 3), r"shape \(3, 4, 4, 3\)"),
        (lambda v: torch.cat([v, v, v], 1), r"shape \(3, 9, 4, 4\)"),
        (lambda v: v.long(), "gives torch.int64"),
        (lambda v: None, "gives a NoneType"),
        (lambda v: v.numpy(), "gives a ndarray"),
        (lambda v: (), "gives a tuple"),
        (lambda v: {"a": v, "b": v}, "gives a dict"),
        (lambda v: torch.distributions.Normal(v, 1.0), "gives a Normal"),
    ],
)
def test_other_outputs_are_never_broadcast(form, words, check):
    with pytest.raises(VdiffError, match=f"The network {words}|{words}"):
        value(lambda y, t, c: form(-y), C, check=check)


def test_of_a_learned_variance_the_mean_is_taken_and_it_is_said():
    with pytest.warns(UserWarning, match="variance that it has learned is not used"):
        assert right(lambda y, t, c: torch.cat([-y, 7 + y], 1))
    with pytest.raises(VdiffError, match=r"shape \(3, 4\)"):  # of vectors it may be anything
        vdiff.wrap(lambda y, t: torch.cat([-y, y], 1), **KEYS, data=(2,)).log_prob(X[0, 0, :, :2])


@pytest.mark.parametrize(
    "net",
    [
        lambda s, y: -y / torch.ones_like(s)[:, None, None, None],
        lambda s, y: Score().eval()(y, s),
    ],
)
def test_arguments_in_the_other_order_are_told_from_a_call(net):
    with pytest.raises(VdiffError, match=r"takes the time first: give lambda y, t: net\(t, y\)"):
        value(net)
    assert told(lambda y, t, c: net(t, y), C)


def test_arguments_in_the_other_order_are_told_by_their_names():
    """Where a call would say nothing, for one example of one dimension."""

    class Swapped(nn.Module):
        def forward(self, t, x):
            return -x

    for net in (Swapped(), lambda t, x: -x, Swapped().forward):
        with pytest.raises(VdiffError, match=r"takes \(t, x\), the time first"):
            vdiff.wrap(net, **KEYS, data=(1,))
    vdiff.wrap(lambda x, t: -x, **KEYS, data=(1,))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (None, "is None; it must be a function"),
        ("unet.pt", "is the text 'unet.pt'; load"),
        (Score, "is the class Score; make an instance"),
        (Score().state_dict(), "as a state dict is; make the network"),
        (SimpleNamespace(unet=Score(), scheduler=1), r"from_diffusers\(pipeline.unet"),
        (
            SimpleNamespace(transformer=Score(), scheduler=1),
            r"pipeline.transformer, pipeline.sch",
        ),
        (SimpleNamespace(shadow_params=[], copy_to=print), r"ema.copy_to\(net.parameters\(\)\)"),
        (torch.zeros(2), "it must be a function"),
    ],
)
def test_what_is_no_network_is_refused_at_once(net, words):
    with pytest.raises(VdiffError, match=f"^The network {words}|{words}"):
        vdiff.wrap(net, **KEYS, data=SHAPE)


@pytest.mark.filterwarnings("ignore:The network is in train mode")
@pytest.mark.parametrize(
    "around",
    [
        lambda net: net,
        nn.DataParallel,
        pytest.param(
            lambda net: torch.compile(net, backend="eager"),
            marks=pytest.mark.slow,  # the import of the compiler
        ),
        torch.optim.swa_utils.AveragedModel,
        lambda net: lambda y, t, c=None: net(y, t),
        lambda net: functools.partial(net, condition=None),
        lambda net: functools.partial(lambda y, t, c=None, inner=None: inner(y, t), inner=net),
        lambda net: net.forward,
        lambda net: Holder(net).ask,
        lambda net: Holder(net),
        lambda net: (lambda held: lambda y, t, c=None: held.net(y, t))(Holder(net)),
        lambda net: (lambda inner: lambda y, t, c=None: inner(y, t))(lambda y, t: net(y, t)),
    ],
)
def test_a_network_is_found_within_what_calls_it(around):
    """In train mode its dropout would halve the score."""
    net = Score().train()
    held = around(net)
    assert net in [part for m in modules_of(held) for part in m.modules()] or isinstance(
        held, torch.optim.swa_utils.AveragedModel
    )
    given = (X, torch.ones(2))
    assert torch.allclose(Asked(held, "cpu")(*given), -X)
    assert torch.allclose(Asked(held, "cpu")(*given), -X)
    assert net.training and net.drop.training
    assert not torch.allclose(held(*given), -X)  # the control: as it is


def test_a_wrapper_in_train_mode_around_a_network_in_eval_mode_needs_no_warning(recwarn):
    net = Score().eval()
    Asked(nn.DataParallel(net), "cpu")
    assert not recwarn
    Asked(nn.DataParallel(net.train()), "cpu")
    assert "train mode" in str(recwarn.pop().message)


class Holder:
    """No module, with one in an attribute."""

    def __init__(self, net):
        self.net = net

    def ask(self, y, t, c=None):
        return self.net(y, t)

    __call__ = ask


def test_a_network_that_is_out_of_sight_is_found_to_be_random():
    nets = {"one": [Score().train()]}
    assert not modules_of(lambda y, t, c: nets["one"][0](y, t))
    with pytest.raises(VdiffError, match="output is random"):
        value(lambda y, t, c: nets["one"][0](y, t), C)


class Labelled(Score):
    """The score of N(0, I) for the label 0 alone."""

    def __init__(self):
        super().__init__()
        self.label = nn.Embedding(10, 1)
        with torch.no_grad():
            self.label.weight.copy_(torch.arange(10.0)[:, None])

    def forward(self, y, t, label, also=None):
        also = label if also is None else also
        return super().forward(y, t) + (self.label(label) + self.label(also))[..., None, None]


@pytest.mark.parametrize(
    "condition",
    [
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(2, dtype=torch.int32),
        np.zeros(2, dtype=np.int64),
        [0, 0],
        0,
        np.int64(0),
        torch.tensor(0),
        (torch.zeros(2).long(), [0, 0]),
        (0, 0),
        {"label": [0, 0]},
        {"label": 0, "also": np.zeros(2, dtype=np.int32)},
    ],
)
def test_conditions_come_in_many_forms(condition):
    net = Labelled().eval()
    assert told(net, condition)
    assert not told(net, 1)


def test_a_condition_may_have_the_name_of_an_argument_of_ours():
    """As in DiT and guided-diffusion, whose labels are y."""
    net = Labelled().eval()
    assert told(lambda x, t, y: net(x, t, y), {"y": 0})
    assert not told(lambda x, t, y: net(x, t, y), {"y": 1})


def test_conditions_follow_their_examples_in_every_form():
    net, labels = Labelled().eval(), torch.tensor([0, 3])
    for given in (labels, labels.tolist(), (labels,), {"label": labels}):
        both = value(net, given)
        assert both[0] == pytest.approx(value(net, 0)[0], rel=1e-5)
        assert both[1] == pytest.approx(value(net, 3)[1], rel=1e-5)
    model = vdiff.wrap(net, **KEYS, data=SHAPE, levels=None)
    one, two = (model.sample(3, c, steps=3) for c in ([0, 3, 0], {"label": 3}))
    assert torch.allclose(one[1], two[1], atol=1e-5) and not torch.allclose(one[0], two[0])
    solved = model.log_prob(X, [0, 3], method="ode", draws=1, tolerance=0.01).value
    alone = model.log_prob(X[1:], [3], method="ode", draws=1, tolerance=0.01).value
    assert solved[1] == pytest.approx(alone[0], rel=1e-4)


def test_a_fit_takes_conditions_in_every_form():
    """64 examples under one label for all, by name: none is given by itself."""
    model = vdiff.wrap(Labelled().eval(), **KEYS, data=SHAPE, levels=None, check=False)
    x = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(0))
    one, two = (model.fit(x, c).log_prob(X, 0, draws=2).value for c in ({"label": 0}, 64 * [0]))
    assert np.allclose(one, two, rtol=1e-4)
    assert model.fit(condition=0).fitted_on == "256 samples of its own"
    with pytest.raises(VdiffError, match="3 conditions for 64 examples"):
        model.fit(x, [0, 0, 0])


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ([0, 0, 0], "3 conditions for 2 examples"),
        ([0], "1 conditions for 2 examples"),
        ({"label": [0, 0, 0]}, "3 conditions for 2 examples"),
        (([0, 0], [0]), "1 conditions for 2"),
        ("a cat", "The condition is a str that holds no numbers"),
        ({"label": ["cat", "dog"]}, "The condition 'label' is a list that holds no numbers"),
        ({"class": 0}, "cannot be asked: TypeError.*'class'"),
        ((0, 0, 0), "cannot be asked: TypeError"),
        (torch.zeros(2), "cannot be asked: RuntimeError.*Long, Int"),
        (None, r"takes a condition: give one \(TypeError, .*label"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(condition, words):
    with pytest.raises(VdiffError, match=words):
        value(Labelled().eval(), condition)


def test_what_the_network_raises_is_said_in_a_sentence_and_kept():
    def net(y, t, c):
        raise KeyError("no such layer")

    with pytest.raises(VdiffError, match=r"KeyError, .*no such layer.*\(3, 3, 4, 4\)") as found:
        value(net, C)
    assert isinstance(found.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (None, r"takes a condition: give one \(TypeError, .*label"),
        ({"class": 0}, "cannot be asked: TypeError.*'class'"),
        ((0, 0, 0), "cannot be asked: TypeError"),
        ([0, 10], "cannot be asked: IndexError, index out of range"),
    ],
)
def test_conditions_that_do_not_fit_are_refused_once_others_did(condition, words):
    model = vdiff.wrap(Labelled().eval(), **KEYS, data=SHAPE, levels=None)
    assert np.allclose(model.draws(X, 0, draws=2).mean(1), RIGHT(), rtol=1e-4, atol=1e-3)
    with pytest.raises(VdiffError, match=words):
        model.draws(X, condition, draws=2)


@pytest.mark.parametrize("error", [MemoryError("full"), torch.OutOfMemoryError("no more")])
def test_want_of_memory_comes_as_it_is(error):
    """The sentence is on how it is asked; a network that ran out of memory says so itself."""
    calls = []

    def net(y, t, c):
        calls.append(1)
        if len(calls) > 3:
            raise error
        return -y

    with pytest.raises(type(error), match=str(error)):
        value(net, C)

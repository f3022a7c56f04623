"""What networks are like: their precision, device and mode, what they take and what they give."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, reduce
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from vdiff.diffusion.drift import Drift, checked
from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError, first_line

Network = Callable[..., Any]

RANDOM = 1e-3  # of its size, by which a network's output may differ between two calls
BATCH = 0.03  # and from one batch to another
WHOLE = 1e-4  # by which a time may be off a whole number, where a network wants integers
DEEP = 4  # functions within functions, in which modules are looked for
TIMES = {"t", "time", "times", "timestep", "timesteps"}
VECTORS = {"x", "y", "z", "xt", "x_t", "xs", "sample"}
FLIP = "give lambda y, t: net(t, y)"


def modules_of(net: Any) -> list[nn.Module]:
    """The torch modules that a callable is, closes over, is bound to, or has as attributes."""
    return list(_look(net, 0, set()))


def _look(thing: Any, depth: int, seen: set[int]) -> Iterator[nn.Module]:
    if id(thing) in seen or depth > DEEP or isinstance(thing, type | ModuleType):
        return
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        yield thing
    elif isinstance(thing, partial):
        for part in (thing.func, *thing.args, *thing.keywords.values()):
            yield from _look(part, depth + 1, seen)
    elif isinstance(thing, MethodType):
        yield from _look(thing.__self__, depth, seen)
        yield from _look(thing.__func__, depth + 1, seen)
    elif isinstance(thing, FunctionType):
        inner = inspect.unwrap(thing)
        try:
            names = inspect.getclosurevars(inner)
        except ValueError:  # a name that is not bound yet
            return
        for part in (*names.nonlocals.values(), *names.globals.values()):
            yield from _look(part, depth + 1, seen)
    else:  # an object; those within it are not looked into
        for part in getattr(thing, "__dict__", {}).values():
            if isinstance(part, nn.Module | partial | MethodType | FunctionType):
                yield from _look(part, depth + 1, seen)


@contextmanager
def evaluating(modules: list[nn.Module]) -> Iterator[None]:
    """Inside, the modules are in eval mode; afterwards each part is in the mode it was in."""
    parts = [part for m in modules for part in m.modules() if part.training]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part in parts:
            part.training = True


def precision_of(modules: list[nn.Module]) -> torch.dtype:
    """Of the first weights of each module, the most precise; float32 where there are none."""
    first = [
        next((p.dtype for p in m.parameters() if p.is_floating_point()), None) for m in modules
    ]
    known = [dtype for dtype in first if dtype is not None]
    return reduce(torch.promote_types, known) if known else torch.float32


def check_network(net: Any) -> None:
    """Raise VdiffError for what is no network net(y, time), as far as it shows without a call."""
    kind = type(net).__name__
    if isinstance(net, type):
        reason = f"is the class {net.__name__}; make an instance of it, with its weights"
    elif isinstance(net, str):
        reason = f"is the text {net!r}; load the network and give it itself"
    elif isinstance(net, Mapping):
        reason = (
            f"is a {kind} of {len(net)} entries, as a state dict is; make the network and load "
            "them into it with load_state_dict"
        )
    elif hasattr(net, "scheduler") and (hasattr(net, "unet") or hasattr(net, "transformer")):
        part = "unet" if hasattr(net, "unet") else "transformer"
        reason = (
            f"is a pipeline, {kind}; give from_diffusers(pipeline.{part}, pipeline.scheduler), of "
            "vdiff.adapters.diffusers"
        )
    elif not callable(net) and hasattr(net, "copy_to"):
        reason = (
            f"is averaged weights, {kind}; copy them into the network "
            "(ema.copy_to(net.parameters())) and give that"
        )
    elif not callable(net):
        reason = f"is {net!r:.60}; it must be a function or module net(y, time)"
    elif _first_names(net) in {(t, y) for t in TIMES for y in VECTORS}:
        reason = f"takes ({', '.join(_first_names(net))}), the time first; {FLIP}"
    else:
        return
    raise VdiffError(f"The network {reason}.")


def _first_names(net: Any) -> tuple[str, ...]:
    """The names of the first two arguments, where they can be known."""
    try:
        takes = inspect.signature(net.forward if isinstance(net, nn.Module) else net)
    except (TypeError, ValueError):
        return ()
    return tuple(takes.parameters)[:2]


class Asked:
    """net(y, time, ...) as everything here asks it: in eval mode, on its device, in its precision;
    the output is like y.

    What the first call finds out is the network's and not the input's: whether it wants its time in
    its own precision or as integers, and whether it gives a learned variance too. Raises VdiffError
    when the first call fails, and whenever the output is not like y.
    """

    def __init__(self, net: Network, device: str) -> None:
        check_network(net)
        self.net, self.device = net, device
        self.modules = modules_of(net)
        self.dtype = precision_of(self.modules)
        self.clock: Callable[[Tensor], Tensor] | None = None  # once a call has succeeded
        self.learned: Tensor | None = None  # the second half of twice the channels, of the last
        parts = [part for m in self.modules for part in m.modules()]
        # A wrapper such as DataParallel is in train mode around a network in eval mode.
        if any(part.training and not [*part.children()] for part in parts):
            warnings.warn(
                "The network is in train mode; vdiff asks it in eval mode and leaves it as it was.",
                stacklevel=3,
            )

    def __call__(self, y: Tensor, t: Tensor, /, *more: Tensor, **named: Tensor) -> Tensor:
        if not isinstance(t, Tensor) or t.shape[:1] != y.shape[:1]:
            shape = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
            raise VdiffError(f"`time` gives {shape}; it must give a tensor ({len(y)}, ...).")
        own = self._cast(y)
        rest = [self._cast(v) for v in more]
        by_name = {k: self._cast(v) for k, v in named.items()}

        def ask(first: Tensor, second: Tensor) -> Any:
            with evaluating(self.modules):
                return self.net(first, second.to(self.device), *rest, **by_name)

        if self.clock is not None:
            try:
                later = ask(own, self.clock(t))
            except Exception as error:
                if isinstance(error, VdiffError) or of_memory(error):
                    raise  # memory is a matter of the batch's size
                raise self._refusal(error, y, t, bool(rest or by_name), "") from error
            return self._like(later, y).to(y)
        out = self._first(ask, own, t, bool(rest or by_name))
        try:
            answer = self._like(out, y)
        except VdiffError as error:
            raise VdiffError(f"{error}{self._flipped(ask, own, t)}") from None
        if tensor_of(out).numel() == 2 * y.numel():
            warnings.warn(
                "The network gives twice as many channels as the data have: the first half is "
                "taken, the variance that it has learned is not used but by Model.chain.",
                stacklevel=2,
            )
        return answer.to(y)

    def _cast(self, v: Tensor) -> Tensor:
        return (v.to(self.dtype) if v.is_floating_point() else v).to(self.device)

    def _first(self, ask: Callable[..., Any], y: Tensor, t: Tensor, told: bool) -> Any:
        """The output of the first call, which says how the network wants its time: as it is (at
        least float32, for bfloat16 has no step 999), in its own precision, or as integers."""
        wide = torch.promote_types(self.dtype, torch.float32)
        ways: list[Callable[[Tensor], Tensor]] = [_as_it_is]
        if t.is_floating_point():
            ways = [partial(_to, wide), partial(_to, self.dtype), whole]
        errors: list[Exception] = []
        for way in ways:
            if way is whole and not any(map(_wants_integers, errors)):
                break
            try:
                out = ask(y, t.round().long() if way is whole else way(t))
            except Exception as error:
                errors.append(error)
                continue
            self.clock = way
            way(t)  # refuses what was rounded, now that it is known that this was the reason
            return out
        raise self._refusal(errors[-1], y, t, told, self._flipped(ask, y, t)) from errors[-1]

    def _refusal(
        self, error: Exception, y: Tensor, t: Tensor, told: bool, flipped: str
    ) -> VdiffError:
        if isinstance(error, VdiffError):
            return error
        kind, why = type(error).__name__, first_line(error)
        if not told and "required positional argument" in why and "missing" in why:
            return VdiffError(f"The network takes a condition: give one ({kind}, {why}).")
        return VdiffError(
            f"The network cannot be asked: {kind}, {why} (it was given y of shape "
            f"{tuple(y.shape)}, {y.dtype}, and time of shape {tuple(t.shape)}, {t.dtype}, from "
            f"{float(t.min()):.6g} to {float(t.max()):.6g}).{flipped}"
        )

    def _like(self, out: Any, y: Tensor) -> Tensor:
        """The output's tensor, in the shape of y."""
        answer = tensor_of(out)
        B, shape = len(y), tuple(y.shape[1:])
        if answer.is_floating_point():
            if answer.shape == y.shape:
                return answer
            if answer.shape == (B, math.prod(shape)):
                return answer.reshape(y.shape)
            if len(shape) > 1 and answer.shape == (B, 2 * shape[0], *shape[1:]):
                self.learned = answer[:, shape[0] :]
                return answer[:, : shape[0]]
        raise VdiffError(
            f"The network gives {answer.dtype} of shape {tuple(answer.shape)} for y of shape "
            f"{tuple(y.shape)}; it must give real numbers of that shape."
        )

    def _flipped(self, ask: Callable[..., Any], y: Tensor, t: Tensor) -> str:
        """A sentence where the network does as it should when its arguments change places."""
        try:
            with torch.no_grad():
                self._like(ask(t.float(), y), y)
        except Exception:
            return ""
        return f" It takes the time first: {FLIP}."


def _as_it_is(t: Tensor) -> Tensor:
    return t


def _to(dtype: torch.dtype, t: Tensor) -> Tensor:
    return t.to(dtype)


def whole(t: Tensor) -> Tensor:
    """Times that are whole numbers, as integers. Raises VdiffError for others."""
    near = t.round()
    if bool(((t - near).abs() > WHOLE).any()):
        off = float(t[(t - near).abs().argmax()])
        raise VdiffError(
            f"The network takes its time as an integer, and is given {off:.6g}: give "
            "time=lambda s: (N * s - 1).round().long(), N being its number of steps."
        )
    return near.long()


def of_memory(error: Exception) -> bool:
    """Whether it says that memory is not enough."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "t allocate memory" in str(error)


def _wants_integers(error: Exception) -> bool:
    """Whether torch said so: of an embedding, an index, a gather or a one-hot."""
    words = ("Long", "int32", "used as indices", "long, int")
    return isinstance(error, RuntimeError | TypeError | IndexError) and any(
        word in str(error) for word in words
    )


def tensor_of(out: Any) -> Tensor:
    """The tensor that a network's output is or holds: the first of a tuple or list, `sample` of a
    dict or an object, or the only one that it has. Raises VdiffError where that is none."""
    if isinstance(out, Tensor):
        return out
    tensor: Any = None
    if isinstance(out, Mapping) or hasattr(out, "__dict__"):
        parts = dict(out) if isinstance(out, Mapping) else vars(out)
        tensors = [v for v in parts.values() if isinstance(v, Tensor)]
        tensor = parts.get("sample", tensors[0] if len(tensors) == 1 else None)
    elif isinstance(out, tuple | list) and out:
        tensor = out[0]
    if not isinstance(tensor, Tensor):
        raise VdiffError(
            f"The network gives a {type(out).__name__}; it must give a tensor like y, a tuple that "
            "starts with it, or a dict or object with it as `sample`."
        )
    return tensor


def noise_at_unit(
    sde: SDE, n: int, shape: tuple[int, ...], rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(y, s): n vectors of noise alone, where it has the variance of a signal of 1."""
    s = sde.invert_log_nsr(torch.zeros(n, dtype=torch.float64))
    return float(sde.sigma(s[0])) * torch.randn(n, *shape, generator=rng), s


@torch.no_grad()
def check_repeats(of_rows: Callable[[int], Drift], sde: SDE, shape: tuple[int, ...]) -> None:
    """Raise VdiffError unless a drift gives the same at the same y and s, alone or in a batch, and
    finite numbers; of_rows(n): the drift for n rows under one condition."""
    y, s = noise_at_unit(sde, 3, shape, torch.Generator().manual_seed(0))
    first, second = (checked(of_rows(3))(y, s) for _ in "12")
    size = float(first.square().mean().sqrt())
    off = float((first - second).square().mean().sqrt())
    if off > RANDOM * size:
        raise VdiffError(
            f"The network's output is random: two calls differ by {off / size:.2g} of its size. "
            "Put it in eval mode (net.eval() switches dropout off) or take the noise out of it."
        )
    alone = of_rows(1)(y[:1], s[:1])
    off = float((first[:1] - alone).square().mean().sqrt())
    if off > BATCH * size:
        raise VdiffError(
            f"The network's output for an example depends on the others of its batch, by "
            f"{off / size:.2g} of its size; put it in eval mode (net.eval() holds batch norms)."
        )

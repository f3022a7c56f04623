"""The models that are scored: where they come from, and how one network is told from another."""

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.drift import checked
from vdiff.errors import VdiffError, first_line
from vdiff.likelihood.model import Model
from vdiff.machine.seeds import generator

LEVELS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # of log NSR, at which a network is asked
ROWS, MARKS = 3, 8  # fixed inputs of a noise level, and numbers that are kept of each output
SAME = 1e-4  # of its size, by which an output may differ where a machine rounds in another way


def model_of(
    spec: str,
    device: str = "cpu",
    *,
    levels: int | None = None,
    range: tuple[float, float] | None = None,
) -> Model:
    """The model of FILE.py:FUNCTION, which returns what `vdiff.wrap` does, or of a folder that
    diffusers wrote, whose network goes to the device; FUNCTION is told it if it takes a `device`.
    FILE may import what lies beside it. levels, range: of the data of a folder's model, as `wrap`
    has them. Raises VdiffError for what is neither, naming the line of an error in FILE."""
    given = {"levels": levels, "range": range}
    keys: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    file, _, function = spec.rpartition(":")
    if file.endswith(".py"):
        if keys:
            raise VdiffError(
                f"{next(iter(keys))} is for folders of diffusers; {spec} gives it to vdiff.wrap."
            )
        return _of_file(Path(file).absolute(), function, spec, device)
    if not Path(spec).is_dir():
        raise VdiffError(f"The model is {spec!r}; it must be FILE.py:FUNCTION or a folder.")
    from vdiff.adapters.diffusers import from_folder

    return from_folder(spec, device=device, **keys)


def _of_file(path: Path, function: str, spec: str, device: str) -> Model:
    try:
        with _neighbours(path.parent):
            loader = importlib.util.spec_from_file_location(f"vdiff_model_{path.stem}", path)
            assert loader is not None and loader.loader is not None
            module = importlib.util.module_from_spec(loader)
            sys.modules[loader.name] = module  # dataclasses and pickle look for it there
            loader.loader.exec_module(module)
            make = getattr(module, function)
            takes = "device" in inspect.signature(make).parameters
            made = make(device=device) if takes else make()
    except VdiffError:
        raise
    except (Exception, SystemExit) as error:  # whatever another's code raises
        raise VdiffError(f"{spec} gives no model: {_told(error, path.parent)}.") from None
    if not isinstance(made, Model):
        raise VdiffError(f"{spec} gives a {type(made).__name__}, not what vdiff.wrap returns.")
    return made


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Inside, what lies in the folder can be imported. Afterwards it is forgotten, for another
    model may have neighbours of the same names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # of files that are younger than the last look
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            top = name.partition(".")[0]
            own = (folder / f"{top}.py").is_file() or (folder / top).is_dir()
            if top not in before and own:
                del sys.modules[name]


def _told(error: BaseException, folder: Path) -> str:
    """An error in another's code: its kind, the last line in the folder's files, and what it
    says."""
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    own = [(Path(name), line) for name, line in frames if Path(name).parent == folder]
    where = f" in line {own[-1][1]} of {own[-1][0].name}" if own else ""
    says = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}{where}, {first_line(Exception(says))}"


@torch.no_grad()
def fingerprint(model: Model, condition: Tensor | None = None) -> np.ndarray:
    """What a network says: products of fixed vectors with the drift at fixed noisy inputs, (levels,
    ROWS * MARKS) float64. condition: the first of it is taken. Raises VdiffError where the output
    is not finite."""
    rng, sde, space = generator("fingerprint"), model.sde, model.space
    ends = sde.log_nsr(torch.tensor([model.s_min, sde.T], dtype=torch.float64))
    marks = torch.randn(space.d, MARKS, generator=rng, dtype=torch.float64)
    mean, variance = space.guess
    first = None if condition is None else condition[:1]
    a = checked(model.drift(first, torch.zeros(ROWS, dtype=torch.int64)))
    rows = []
    for level in LEVELS:
        s = sde.invert_log_nsr(ends[0] + level * (ends[1] - ends[0])).expand(ROWS)
        x, eps = torch.randn(2, ROWS, *space.shape, generator=rng)
        drift = a(sde.perturb(mean + variance**0.5 * x, s, eps), s)
        rows.append((drift.double().cpu().flatten(1) @ marks).flatten())
    return torch.stack(rows).numpy()


def same(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two fingerprints are of one network."""
    if one.shape != two.shape:
        return False
    size, off = (np.square(z).mean(-1) ** 0.5 for z in (one, one - two))
    return bool((off <= SAME * size).all())

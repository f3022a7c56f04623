"""Every figure of the pipeline: its module, what it reads, who has it, its place in the report.

Imports no matplotlib. Captions are the files vdiff/report/captions/NAME.rst. Paths are relative to
a results folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vdiff.config import Config, Experiment
from vdiff.files.layout import Who, step_files

Name = str | None
"""An experiment's name; None for a figure of all experiments."""
Options = dict[str, str | Sequence[str] | Sequence[int] | Sequence[float]]
"""Of a drawing function: keyword to value."""


FPS = 12  # frames a second of an animation
VALUES = "values"  # in the text of a PNG: the curves, by figures.values


@dataclass(frozen=True)
class Figure:
    """names: for whom it is drawn; inputs, options: of the drawing function.

    title: what it shows, for readers; moving: an animation, GIF and WebP instead of PNG and PDF.
    """

    name: str
    category: str
    title: str
    names: Callable[[Config], Sequence[Name]]
    inputs: Callable[[Config, Name], list[str]]
    module: str = ""
    options: Callable[[Config, Name], Options] = lambda config, name: {}
    moving: bool = False

    def stem(self, name: Name) -> str:
        """The file name without its ending."""
        return self.name if name is None else f"{self.name}-{name}"

    @property
    def endings(self) -> tuple[str, ...]:
        return (".gif", ".webp") if self.moving else (".png", ".pdf", "-dark.png")


def _all(config: Config) -> Sequence[Name]:
    return [None]


def _each(config: Config) -> Sequence[Name]:
    return list(config.experiments)


def having(section: str) -> Callable[[Config], Sequence[Name]]:
    """The experiments with a section of that name."""
    return lambda config: [n for n, e in config.experiments.items() if getattr(e, section)]


def _once(section: str) -> Callable[[Config], Sequence[Name]]:
    return lambda config: [None] if having(section)(config) else []


def _moving(section: str) -> Callable[[Config], Sequence[Name]]:
    """The experiments whose section asks for frames."""
    of = having(section)
    return lambda c: [n for n in of(c) if n and getattr(c.experiments[n], section).frames]


def _tables(*names: str) -> Callable[[Config, Name], list[str]]:
    return lambda config, name: [f"{table}.csv" for table in names]


def _experiment(config: Config, name: Name) -> Options:
    return {"experiment": str(name)}


def _with_published(config: Config, name: Name) -> Options:
    """What was published on the data set, or on that it is a part of, is drawn beside it."""
    beside = _of(config, name).published_on
    return {**_experiment(config, name), **({"beside": beside} if beside else {})}


def _of(config: Config, name: Name) -> Experiment:
    return config.experiments[str(name)]


def _grids(config: Config, name: Name) -> list[str]:
    """Samples of every arm, of the first seed."""
    e, seed = _of(config, name), _of(config, name).seeds[0]
    return [f"{Who(str(name), arm, seed).folder}/samples.npz" for arm in e.arms]


def _with_arms(config: Config, name: Name) -> Options:
    return {**_experiment(config, name), "titles": list(_of(config, name).arms)}


def _last_grid(config: Config, name: Name) -> list[str]:
    return _grids(config, name)[-1:]


def _histograms(config: Config, name: Name) -> list[str]:
    return step_files(config, "trajectory", "out", name)


def _drawn(config: Config, name: Name) -> list[str]:
    return [*step_files(config, "inference", "drawn", name), "inference.csv"]


def _ends(config: Config, name: Name) -> list[str]:
    """Of lambda 0 and lambda 1."""
    endings = ("/lmbd_0.npz", "/lmbd_1.npz")
    return [path for path in _histograms(config, name) if path.endswith(endings)]


def _grid_options(config: Config, name: Name) -> Options:
    """The published grid has every lambda but 1."""
    t = _of(config, name).trajectory
    assert t is not None
    return {"columns": t.columns, "lmbds": [v for v in t.lmbds if v != 1]}


def _strip_options(config: Config, name: Name) -> Options:
    t = _of(config, name).trajectory
    assert t is not None
    return {"columns": t.strip_columns, "lmbds": [0, 1]}


def _with_course(config: Config) -> Sequence[Name]:
    """The experiments whose samples are judged along training."""
    return [n for n, e in config.experiments.items() if e.quality and e.quality.checkpoints > 1]


def _compared(config: Config) -> Sequence[Name]:
    return [None] if any(e.compared for e in config.experiments.values()) else []


LIKELIHOOD, SAMPLES, FAMILY, TRAINING = "Likelihood", "Samples", "The lambda family", "Training"

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (  # in the order of the report
        Figure(
            "headline",
            LIKELIHOOD,
            "Bits/dim along training, at a glance",
            _all,
            _tables("curves"),
            "headline",
        ),
        Figure(
            "bpd",
            LIKELIHOOD,
            "Test bits/dim along training",
            _each,
            _tables("curves"),
            "bpd",
            options=_experiment,
        ),
        Figure(
            "examples",
            LIKELIHOOD,
            "Bits/dim against images seen, beside the published curves",
            _each,
            _tables("curves"),
            "examples",
            options=_with_published,
        ),
        Figure(
            "differences",
            LIKELIHOOD,
            "Bits/dim of one arm minus another's",
            _compared,
            _tables("differences"),
            "differences",
        ),
        Figure(
            "gap",
            LIKELIHOOD,
            "The gap between the arms during training",
            _compared,
            _tables("differences", "curves"),
            "gap",
        ),
        Figure(
            "samples",
            SAMPLES,
            "Samples beside real images",
            having("sampling"),
            _grids,
            "samples",
            options=_with_arms,
        ),
        Figure(
            "quality",
            SAMPLES,
            "How far samples are from test images",
            having("quality"),
            _tables("quality"),
            "quality",
            options=_experiment,
        ),
        Figure(
            "quality-course",
            SAMPLES,
            "Quality of samples along training",
            _with_course,
            _tables("quality"),
            "quality_course",
            options=_experiment,
        ),
        Figure(
            "sampling",
            SAMPLES,
            "Sampling images",
            _moving("sampling"),
            _last_grid,
            "animation",
            moving=True,
        ),
        Figure(
            "lambda-grid",
            FAMILY,
            "Figure 5: every λ from noise to data",
            having("trajectory"),
            _histograms,
            "lambda_grid",
            options=_grid_options,
        ),
        Figure(
            "lambda-strips",
            FAMILY,
            "λ = 0 and λ = 1 from start to end",
            having("trajectory"),
            _histograms,
            "lambda_grid",
            options=_strip_options,
        ),
        Figure(
            "lambda",
            FAMILY,
            "Sampling with λ = 0 beside λ = 1",
            _moving("trajectory"),
            _ends,
            "animation",
            moving=True,
        ),
        Figure(
            "distances",
            FAMILY,
            "Distance of samples to the data",
            having("distances"),
            _tables("distances"),
            "distances",
            options=_experiment,
        ),
        Figure(
            "standard-error",
            LIKELIHOOD,
            "Standard error of the bits/dim",
            _each,
            _tables("curves"),
            "standard_error",
            options=_experiment,
        ),
        Figure(
            "variance",
            LIKELIHOOD,
            "Where the variance comes from",
            having("variance"),
            _tables("variance_time", "gradient"),
            "variance",
            options=_experiment,
        ),
        Figure(
            "gradient-bias",
            LIKELIHOOD,
            "What a time distribution misses of the gradient",
            _once("variance"),
            _tables("gradient"),
            "gradient_bias",
        ),
        Figure(
            "forms",
            TRAINING,
            "The forms of score matching",
            having("forms"),
            _tables("forms"),
            "forms",
            options=_experiment,
        ),
        Figure(
            "theory",
            LIKELIHOOD,
            "The paper's identities where the truth is known",
            having("theory"),
            _tables("theory"),
            "theory",
            options=_experiment,
        ),
        Figure(
            "inference",
            LIKELIHOOD,
            "Figure 1: three generative SDEs trained by the bound",
            having("inference"),
            _drawn,
            "inference",
            options=_experiment,
        ),
        Figure(
            "likelihood",
            LIKELIHOOD,
            "The bound beside the ODE's likelihood",
            _once("likelihood"),
            _tables("likelihood"),
            "likelihood",
        ),
        Figure("loss", TRAINING, "Training loss", _all, _tables("train"), "loss"),
        Figure(
            "published-curves",
            LIKELIHOOD,
            "The published curves",
            _all,
            _tables(),
            "published_curves",
        ),
        Figure(
            "comparison",
            LIKELIHOOD,
            "Two results compared in pairs",
            lambda config: [],
            _tables("comparison"),
            "comparison",
        ),
    )
}

"""The lambda family, figure 5."""

from pydantic import model_validator

from vdiff.config.fields import Distinct, Lambda, Positive, PositiveFloat, key, number
from vdiff.config.specs.integration import Integration
from vdiff.config.specs.spec import Axis, Output, Spec


class Trajectory(Integration):
    """2-D histograms of the states of one lambda along its way (figure 5 of the paper)."""

    lmbds: Distinct[Lambda] = key(
        [-10, -0.99, -0.9, -0.5, 0, 0.5, 0.9, 0.99, 1], "Members of the lambda family."
    )
    samples: Positive = key(100_000, "Points per lambda.")
    columns: Distinct[Positive] = key(
        [*range(820, 1001, 20)], "Steps after which the grid shows the state."
    )
    strip_columns: Distinct[Positive] = key(
        [*range(100, 1001, 100)], "Steps after which the two strips show it."
    )
    bins: Positive = key(256, "Bins of a histogram on each axis.")
    extent: PositiveFloat = key(5.0, "Histograms cover [-extent, extent] on both axes.")

    @model_validator(mode="after")
    def _columns_exist(self):
        beyond = [i for i in self.columns + self.strip_columns if i > self.steps]
        if beyond:
            raise ValueError(f"column {beyond[0]} lies beyond the last step, {self.steps}")
        return self

    @model_validator(mode="after")
    def _strips(self):
        missing = [v for v in (0, 1) if v not in self.lmbds]
        if missing:
            raise ValueError(f"lmbds lacks {missing[0]}; the strips show lambda 0 and 1")
        return self


COLUMNS = {
    "lmbd": "member of the λ family",
    "step": "the state after that step",
    "samples": "number of points",
    "outside": "points outside the histogram",
    "mean_x": "mean of the first coordinate",
    "mean_y": "mean of the second",
    "var_x": "variance of the first coordinate",
    "var_y": "variance of the second",
}

SPEC = Spec(
    "trajectory",
    "trajectory",
    Trajectory,
    (
        Output("out", "trajectory/lmbd_{lmbd}.npz"),
        Output("table", "trajectory/lmbd_{lmbd}.csv", "trajectory", COLUMNS),
    ),
    first_arm=True,
    images=False,
    axis=Axis(
        "lmbd",
        lambda settings: [number(v) for v in settings.lmbds],
        "Member of the lambda family, at most 1.",
    ),
    minutes=120,
    memory_mb=2000,
)

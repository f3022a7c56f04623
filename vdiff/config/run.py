"""One training run: who it is, and what its course depends on."""

import hashlib
import json
from pathlib import Path

from pydantic import model_validator

from vdiff.config.experiment import Config, check_law
from vdiff.config.fields import Dataset, Seed, Strict
from vdiff.config.merging import read_yaml, validate
from vdiff.config.sections import VP, Forward, Network, Training
from vdiff.errors import VdiffError

LENGTH_ONLY = {"iterations", "log_every", "snapshot_every", "checkpoint_every"}
"""Keys of training that say how long it goes and what is kept, not where it goes."""


class Run(Strict):
    """Everything that determines one training run."""

    experiment: str
    arm: str
    dataset: Dataset
    debias: bool
    seed: Seed
    sde: Forward = VP()
    network: Network = Network()
    training: Training = Training()

    @model_validator(mode="after")
    def _fitted(self) -> "Run":
        check_law(self.debias, self.training)
        return self

    @property
    def who(self) -> dict:
        """The columns that name a run in every table."""
        return {
            "experiment": self.experiment,
            "arm": self.arm,
            "debias": self.debias,
            "seed": self.seed,
        }

    @property
    def label(self) -> str:
        """A run in messages and progress bars."""
        return f"{self.experiment} {self.arm} seed={self.seed}"

    @property
    def course(self) -> dict:
        """All that changes the course of training: not its name, nor its length unless the step
        size decays towards its end."""
        length = LENGTH_ONLY - {"iterations"} if self.training.decay else LENGTH_ONLY
        return self.model_dump(exclude={"experiment": True, "arm": True, "training": length})

    def key(self, data: str | None) -> str:
        """A hash of the course of training and of the checksum of the data."""
        content = json.dumps({**self.course, "data": data}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def run_of(config: Config, experiment: str, arm: str, seed: int) -> Run:
    """The run of one arm of an experiment; raises VdiffError unless both exist."""
    if experiment not in config.experiments:
        raise VdiffError(
            f"The preset {config.preset} has no experiment {experiment!r}; "
            f"it has {', '.join(config.experiments)}."
        )
    e = config.experiments[experiment]
    if arm not in e.arms:
        raise VdiffError(
            f"The experiment {experiment} has no arm {arm!r}; it has {', '.join(e.arms)}."
        )
    of_arm = {name: getattr(e.arms[arm], name) for name in ("debias", "sde", "network", "training")}
    return Run(experiment=experiment, arm=arm, dataset=e.dataset, seed=seed, **of_arm)


def read_run(path: Path) -> Run:
    """A run file as `vdiff configure` writes it."""
    return validate(Run, read_yaml(path))

"""What the steps after training share: the run, its data, its SDE and its drifts."""

from pathlib import Path

import click

from vdiff.config import read_run
from vdiff.devices import choose, place
from vdiff.errors import VdiffError
from vdiff.tidy import read_csv


def load_noted(dataset: str, data_root: Path):
    """The data, noted for the record, which has its checksum."""
    from vdiff.data import load

    data = load(dataset, data_root)
    click.get_current_context().find_root().obj["data"] = {dataset: data}
    return data


def noted(device: str) -> str:
    """The device, its name noted for the record."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    click.get_current_context().find_root().obj["device"] = name
    return device


class Trained:
    """What a step after training needs: the run, its data, its SDE and its drift by iteration."""

    def __init__(self, run_file: Path, data_root: Path, device: str):
        from vdiff.train import network_of, sde_of

        self.run = read_run(run_file)
        self.data = load_noted(self.run.dataset, data_root)
        self.device = noted(choose(device))
        self.sde = sde_of(self.run)
        self.network = place(network_of(self.run, self.data.shape), self.device).eval()
        self.who = {k: getattr(self.run, k) for k in ("experiment", "debias", "seed")}

    def last_drift(self, snapshots: Path):
        """The drift a of the last row of a snapshots.csv."""
        return self.drift(next(read_csv(snapshots, "snapshots").tail(1).itertuples()))

    def drift(self, snapshot):
        """The drift a of one row of snapshots.csv."""
        from vdiff.checkpoint import load_weights
        from vdiff.reverse import drift_of
        from vdiff.train import shape_name

        if str(snapshot.shape) != shape_name(self.data.shape):
            raise VdiffError(
                f"{snapshot.path} was trained on data of shape {snapshot.shape}, but "
                f"{self.run.dataset} has shape {shape_name(self.data.shape)}."
            )
        weights = load_weights(Path(snapshot.path), snapshot.sha256)
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise VdiffError(
                f"{snapshot.path} does not fit the network for {self.run.dataset} "
                f"of shape {self.data.shape}: {detail}"
            ) from None
        return drift_of(self.network, self.sde, self.run.network.parameterisation)

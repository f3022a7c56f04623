"""A training watched while it runs: test bits/dim and samples, to TensorBoard and a tidy CSV."""

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from vdiff.config import Evaluation, Run, Sampling
from vdiff.data import Images, Points
from vdiff.devices import place
from vdiff.evaluate import TestSet, evaluate, row_of
from vdiff.reverse import drift_of
from vdiff.sample import sample_images
from vdiff.tidy import read_csv, write_csv
from vdiff.train import network_of, sde_of


class TensorBoard:
    """A train.Monitor that writes scalars loss, bpd, bpd_std_err and images of samples.

    bpd is the published estimator's on the whole test set, every print_every iterations;
    samples come every sample_every. Points have no images.
    """

    def __init__(
        self,
        run: Run,
        data: Points | Images,
        folder: Path,
        evaluation: Evaluation,
        print_every: int | None,
        sampling: Sampling,
        sample_every: int | None,
        device: str,
    ):
        self.run, self.data, self.folder, self.device = run, data, folder, device
        self.evaluation, self.print_every = evaluation, print_every
        self.sampling, self.sample_every = sampling, sample_every
        self.sde, self.test = sde_of(run), TestSet(data, run.training.real)
        self.network = place(network_of(run, data.shape), device).eval()
        self.a = drift_of(self.network, self.sde, run.network.parameterisation)
        self.table = folder / "evaluation.csv"
        self.rows: list[dict] = []

    def start(self, iteration: int) -> None:
        """Forget what a killed run wrote beyond its last state: it comes again."""
        if self.table.exists():
            rows = read_csv(self.table, "evaluation").to_dict("records")
            self.rows = [row for row in rows if row["iteration"] <= iteration]
        purge = iteration + 1 if iteration else None
        self.writer = SummaryWriter(str(self.folder), purge_step=purge)

    def row(self, row: dict) -> None:
        self.writer.add_scalar("loss", row["loss"], row["iteration"])

    def snapshot(self, iteration: int, weights: dict[str, Tensor]) -> None:
        self.network.load_state_dict(weights)
        last = iteration == self.run.training.iterations
        if self.print_every and (last or iteration % self.print_every == 0):
            self._evaluate(iteration)
        images = isinstance(self.data, Images) and self.sample_every
        if images and (last or iteration % self.sample_every == 0):
            self._sample(iteration)
        self.writer.flush()

    def _evaluate(self, iteration: int) -> None:
        z, u, calls = evaluate(
            self.sde, self.a, self.test, self.evaluation, "published", device=self.device
        )
        row = row_of(z, u, calls)
        who = {k: getattr(self.run, k) for k in ("experiment", "debias", "seed")}
        self.rows = [row for row in self.rows if row["iteration"] != iteration]
        self.rows.append({**who, "estimator": "published", "iteration": iteration, **row})
        write_csv(self.table, self.rows, "evaluation")
        for name in ("bpd", "bpd_std_err"):
            self.writer.add_scalar(name, row[name], iteration)

    def _sample(self, iteration: int) -> None:
        real, seed = self.run.training.real, self.run.seed
        grid = sample_images(
            self.sde, self.a, self.data, self.sampling, real, seed, self.device, "sample"
        )
        images = torch.from_numpy(grid.images).float() / (self.data.levels - 1)
        self.writer.add_image("samples", make_grid(images, nrow=4, pad_value=1), iteration)

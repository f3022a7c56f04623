"""A training watched while it runs: test bits/dim and samples, to TensorBoard and a tidy CSV."""

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from vdiff.config import Evaluation, Run, Sampling
from vdiff.data import Data
from vdiff.diffusion.drift import Drift
from vdiff.files.tidy import read_csv, write_csv
from vdiff.steps.evaluate import evaluate
from vdiff.steps.sample import sample_images
from vdiff.trained import Trained


class TensorBoard:
    """A train.Monitor that writes scalars loss, bpd, bpd_std_err and images of samples.

    bpd is the paper's estimator's on the whole test set, every print_every iterations;
    samples come every sample_every. Points have no images.
    """

    def __init__(
        self,
        run: Run,
        data: Data,
        folder: Path,
        device: str,
        evaluation: tuple[Evaluation, int | None],
        sampling: tuple[Sampling, int | None],
    ) -> None:
        self.model, self.folder = Trained(run, data, device), folder
        self.evaluation, self.print_every = evaluation
        self.sampling, self.sample_every = sampling
        self.table = folder / "evaluation.csv"
        self.rows: list[dict] = []

    def start(self, iteration: int) -> None:
        """Drop what a killed run wrote after its last saved state; it is written again."""
        if self.table.exists():
            rows = read_csv(self.table, "evaluation").to_dict("records")
            self.rows = [row for row in rows if row["iteration"] <= iteration]
        purge = iteration + 1 if iteration else None
        self.writer = SummaryWriter(str(self.folder), purge_step=purge)

    def row(self, row: dict) -> None:
        self.writer.add_scalar("loss", row["loss"], row["iteration"])

    def snapshot(self, iteration: int, weights: dict[str, Tensor]) -> None:
        a = self.model.drift_with(weights)
        last = iteration == self.model.run.training.iterations
        if self.print_every and (last or iteration % self.print_every == 0):
            self._evaluate(a, iteration)
        images = len(self.model.data.shape) == 3
        if images and self.sample_every and (last or iteration % self.sample_every == 0):
            self._sample(a, iteration)
        self.writer.flush()

    def _evaluate(self, a: Drift, iteration: int) -> None:
        row = evaluate(self.model, a, self.evaluation, "published", checkpoint=iteration).row()
        self.rows = [row for row in self.rows if row["iteration"] != iteration]
        seen = iteration * self.model.data.batch(self.model.run.training.batch_size)
        what = {"estimator": "published", "iteration": iteration, "examples": seen}
        self.rows.append({**self.model.run.who, **what, **row})
        write_csv(self.table, self.rows, "evaluation")
        for name in ("bpd", "bpd_std_err"):
            self.writer.add_scalar(name, row[name], iteration)

    def _sample(self, a: Drift, iteration: int) -> None:
        sampled = sample_images(self.model, a, self.sampling)
        images = torch.from_numpy(sampled.images).float() / (self.model.data.levels - 1)
        self.writer.add_image("samples", make_grid(images, nrow=4, pad_value=1), iteration)

"""Several processes with one model, as torchrun starts them: each takes its share of a batch.

Every process draws the noise of the whole batch and keeps its share, so that a run follows the
same curve whatever their number.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from vdiff.errors import VdiffError
from vdiff.machine.devices import host_of

TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
PATIENCE = timedelta(hours=4)  # how long the others wait while the first evaluates


@dataclass(frozen=True)
class Workers:
    """Process `rank` of `size`, whose network is on `accelerator`."""

    accelerator: str = "cpu"
    rank: int = 0
    size: int = 1

    @property
    def device(self) -> str:
        """Where all but the network is: the CPU, if the accelerator has no float64."""
        return host_of(self.accelerator)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def check(self, batch_size: int) -> None:
        """Raise VdiffError unless every process gets a share."""
        if batch_size < self.size:
            raise VdiffError(
                f"The batch of {batch_size} cannot be split among {self.size} processes; start "
                "fewer, or choose a larger training.batch_size."
            )

    def share(self, x: Tensor) -> Tensor:
        """Rows rank, rank + size, ... of the whole batch."""
        return x[self.rank :: self.size]

    def sum(self, totals: Tensor) -> Tensor:
        """totals added up over the processes."""
        if self.size > 1:
            distributed.all_reduce(totals)
        return totals

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)))

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """For what one process prepares and the others find ready, such as a download."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the processes."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def between(self, network: nn.Module, last: bool):
        """Gradients are exchanged after the last part of a batch only."""
        return nullcontext() if self.size == 1 or last else network.no_sync()  # type: ignore[operator]


@contextmanager
def join(device: str) -> Iterator[Workers]:
    """The processes of torchrun (NCCL on GPUs, gloo on CPUs); without it, one on its own."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    missing = [name for name in TORCHRUN if name not in os.environ]
    if size > 1 and missing:
        raise VdiffError(
            f"WORLD_SIZE is {size} without {', '.join(missing)}: start several processes by "
            "torchrun, or leave WORLD_SIZE unset."
        )
    if size == 1:
        yield Workers(device)
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE
    )
    try:
        yield Workers(device, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()

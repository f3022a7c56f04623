"""Which device a process computes on: no two processes of vdiff take the same GPU."""

import logging
import os
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from vdiff.errors import VdiffError

log = logging.getLogger(__name__)
POLL = 2.0  # seconds between looks while all are taken
_held: list[FileLock] = []  # until the process ends, however it ends


def choose(name: str) -> str:
    """The device for auto, cpu or cuda: a free GPU, which this process then keeps.

    Of several GPUs that torch sees (CUDA_VISIBLE_DEVICES, as schedulers set it, limits them) the
    first that no other process of this user has chosen; when all are taken, waits. A process of
    torchrun gets plain cuda, whose number it knows. Raises VdiffError for cuda without a GPU.
    """
    import torch

    if name == "cpu":
        return "cpu"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        if name == "cuda":
            raise VdiffError("The device is cuda, but torch sees no GPU; use cpu or auto.")
        return "cpu"
    if "LOCAL_RANK" in os.environ:
        return "cuda"
    uuids = [str(torch.cuda.get_device_properties(k).uuid) for k in range(count)]
    number, lock = claim(uuids, Path(tempfile.gettempdir()) / f"vdiff-gpus-{os.getuid()}")
    _held.append(lock)
    return f"cuda:{number}"


def claim(names: list[str], folder: Path) -> tuple[int, FileLock]:
    """The position of the first free name, and the lock that holds it; waits while none is."""
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for k, name in enumerate(names):
            lock = FileLock(folder / f"{name}.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            return k, lock
        if not told:
            log.info("All %d GPUs are taken; waiting for one.", len(names))
            told = True
        time.sleep(POLL)


def place(network, device: str):
    """The network on the device, in the layout that is faster there.

    On GPUs channels_last; on CPUs its GroupNorm costs more than its convolutions save.
    """
    import torch

    layout = torch.channels_last if device.startswith("cuda") else torch.contiguous_format
    return network.to(device, memory_format=layout)


def name_of(device: str) -> str:
    """What a person calls the device: the GPU's model, or cpu."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device

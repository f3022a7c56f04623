"""Which device a process computes on: no two processes of vdiff take the same GPU unless asked."""

import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vdiff.errors import VdiffError

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger(__name__)
POLL = 2.0  # seconds between looks while all are taken
_held: list["FileLock"] = []  # until the process ends, however it ends


@dataclass(frozen=True)
class Wanted:
    """A device by its name, and what to do about a GPU that another process of vdiff holds:
    share it, wait until it is free, or, with neither, refuse."""

    name: str = "auto"
    share: bool = False
    wait: bool = False


def choose(wanted: Wanted) -> str:
    """The device for auto, cpu, cuda, cuda:N or another kind of torch's, such as xpu.

    auto and cuda mean a free GPU of those that torch sees (CUDA_VISIBLE_DEVICES, as schedulers set
    it, limits them), cuda:N that one; this process then keeps it. A process of torchrun gets plain
    cuda, whose number it knows. Raises VdiffError for a device that is not there, or that others
    hold and is not to be shared or waited for.
    """
    import torch

    name = wanted.name
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cuda"):
        return _other(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise VdiffError(f"The device is {name}, but torch sees no GPU; use cpu or auto.")
    if index and int(index) >= count:
        raise VdiffError(f"The device is {name}, but torch sees {count} GPUs, from cuda:0.")
    if "LOCAL_RANK" in os.environ:
        return "cuda"
    numbers = [int(index)] if index else list(range(count))
    uuids = {f"cuda:{k}": str(torch.cuda.get_device_properties(k).uuid) for k in numbers}
    folder = Path(tempfile.gettempdir()) / f"vdiff-gpus-{os.getuid()}"
    device, lock = claim(uuids, folder, wanted)
    if lock:
        _held.append(lock)
    return device


def _other(name: str) -> str:
    """Raises VdiffError unless this torch has the device."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise VdiffError(
            f"The device is {name}, which torch cannot use here "
            f"({str(error).splitlines()[0].rstrip('.')}); it must be auto, cpu, cuda, cuda:N or "
            "another that it has."
        ) from None
    return name


def claim(
    places: dict[str, str], folder: Path, wanted: Wanted = Wanted()
) -> tuple[str, "FileLock | None"]:
    """The first free place and the lock that holds it; places: names to names of their locks.

    While none is free: the first place without a lock if it may be shared, a VdiffError that says
    who holds them if it is not to wait, otherwise waits.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for place, name in places.items():
            lock = FileLock(folder / f"{name}.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            (folder / f"{name}.json").write_text(json.dumps([os.getpid(), sys.argv[1:]]))
            return place, lock
        holders = ", ".join(f"{p} by {_holder(folder / f'{n}.json')}" for p, n in places.items())
        if wanted.share:
            return next(iter(places)), None
        if not wanted.wait:
            raise VdiffError(
                f"GPUs are in use: {holders}; give --share to use one together, --wait to wait for "
                "it, or another --device."
            )
        if not told:
            log.info("GPUs are in use: %s; waiting.", holders)
            told = True
        time.sleep(POLL)


def _holder(note: Path) -> str:
    """Who wrote the note beside a lock, in words."""
    try:
        pid, words = json.loads(note.read_text())
    except (OSError, ValueError):
        return "another process"
    return f"process {pid} (vdiff {' '.join(words[:6])}{' ...' if len(words) > 6 else ''})"


@cache
def host_of(device: str) -> str:
    """Where sums are formed, in float64: the device itself, or the CPU where it has no float64, as
    Apple's GPUs; then the network alone is on the device."""
    import torch

    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return "cpu"
    return device


def place(network, device: str):
    """The network on the device, in the layout that is faster there; it takes and gives tensors
    where sums are formed.

    On GPUs channels_last; on CPUs a network sees to its layout itself (`UNet._laid_out`).
    """
    import torch

    host = host_of(device)
    if host != device:
        network.register_forward_pre_hook(
            lambda _, given: tuple(v.to(device, torch.float32) for v in given)
        )
        network.register_forward_hook(lambda _, given, out: out.to(host))
    layout = torch.channels_last if device.startswith("cuda") else torch.contiguous_format
    return network.to(device, memory_format=layout)


def name_of(device: str) -> str:
    """What a person calls the device: the GPU's model, or cpu."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device

"""Writing on a thread: what was there when it was asked for, one after the other, errors told."""

import threading

import pytest
import torch

from vdiff.machine.writer import Writer


@pytest.mark.parametrize("device", ["cpu", "pretended"])
def test_what_is_written_is_as_it_was(device):
    """A device's own memory goes on changing while the copy is written."""
    writer, x, seen, go = Writer(device), torch.zeros(3), [], threading.Event()

    def slow(content):
        if device != "cpu":
            go.wait(10)
        seen.append((content["x"].clone(), content["n"]))

    writer.write({"x": x, "n": 1}, slow)
    x += 1
    go.set()
    writer.write({"x": x, "n": 2}, slow)
    writer.wait()
    assert [(v.tolist(), n) for v, n in seen] == [([0.0] * 3, 1), ([1.0] * 3, 2)]


@pytest.mark.parametrize("device", ["cpu", "pretended"])
def test_an_error_reaches_the_caller(device):
    def full(content):
        raise OSError(28, "No space left on device")

    writer = Writer(device)
    with pytest.raises(OSError, match="No space"):
        writer.write({}, full)
        writer.wait()
    writer.wait()  # once is enough

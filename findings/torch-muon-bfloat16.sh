#!/usr/bin/env bash
# torch.optim.Muon orthogonalises the momentum of float32 matrices, and a reader of its page, which
# names no other type, expects float32 throughout. Its matrix products are in bfloat16 on every
# device, without an option to change that. Seen in torch 2.14.1. A processor without bfloat16
# instructions computes them at a small part of its rate: there a step takes many times as long as
# the same formula in float32, and more than the gradient of a small network. vdiff has the
# formula in float32 on CPUs unless training is in bfloat16, for all matrices of one shape at once.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 numpy==2.4.6
"$folder/bin/python" - <<'END'
import sys
import time

import torch
from torch.utils._python_dispatch import TorchDispatchMode

torch.set_num_threads(1)
WEIGHT, GRADIENT = torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(0))
seen = set()


class Types(TorchDispatchMode):
    """Notes the types of matrix products."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            seen.update(str(a.dtype) for a in args if isinstance(a, torch.Tensor))
        return func(*args, **(kwargs or {}))


def muon():
    weight = torch.nn.Parameter(WEIGHT.clone())
    weight.grad = GRADIENT.clone()
    torch.optim.Muon([weight], lr=0.02).step()


def seconds(f):
    f()
    start = time.process_time()
    f()
    return time.process_time() - start


def products(dtype):
    x = GRADIENT.to(dtype)
    for _ in range(15):
        x @ x


with Types():
    muon()
times = {name: seconds(f) for name, f in (
    ("a step of Muon", muon),
    ("its 15 products in float32", lambda: products(torch.float32)),
    ("in bfloat16", lambda: products(torch.bfloat16)),
)}
print(f"torch {torch.__version__}, weights and gradients in {WEIGHT.dtype}, on {torch.backends.cpu.get_cpu_capability()}")
print("expected: matrix products in torch.float32")
print("seen:", ", ".join(sorted(seen)))
print("processor seconds here:", ", ".join(f"{k} {v:.3f}" for k, v in times.items()))
sys.exit(0 if seen == {"torch.bfloat16"} else "no longer as described")
END

#!/usr/bin/env bash
# `scaled_dot_product_attention` is documented as differentiable, so a reader expects it to work
# under `torch.func.jvp` and to be differentiated twice, as group norm, convolutions and softmax
# are. On the CPU both raise errors, from the fused kernel that it picks by itself; under
# `sdpa_kernel(SDPBackend.MATH)` both work. Seen in torch 2.14.1. It meets whoever takes the
# divergence of a network with attention by forward mode, or differentiates a likelihood with
# respect to its input or weights. vdiff takes divergences in reverse mode, which works.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1
"$folder/bin/python" - <<'END'
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

torch.manual_seed(0)
x = torch.randn(1, 2, 4, 8)


def attend(x):
    return scaled_dot_product_attention(x, x, x).square().sum()


def twice(x):
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(attend(x), x, create_graph=True)
    return torch.autograd.grad(slope.square().sum(), x)


def outcome(what):
    try:
        what()
    except (NotImplementedError, RuntimeError) as error:
        return type(error).__name__
    return "works"


ways = {"forward mode": lambda: torch.func.jvp(attend, (x,), (x,)), "twice": lambda: twice(x)}
print(f"torch {torch.__version__}")
print("expected: works, four times")
seen = {}
for name, way in ways.items():
    seen[name] = outcome(way)
    with sdpa_kernel(SDPBackend.MATH):
        seen[name, "plain"] = outcome(way)
    print(f"{name}: {seen[name]}; with the plain kernel: {seen[name, 'plain']}")
wrong = [seen.pop(name) for name in ways]
as_described = "works" not in wrong and set(seen.values()) == {"works"}
sys.exit(0 if as_described else "no longer as described")
END

#!/usr/bin/env bash
# On a CPU the gradient of scaled_dot_product_attention takes longer in bfloat16 than in float32,
# though the forward pass takes less: 4 to 7 times as long with AMX, 11 on a processor without
# bfloat16 instructions, for 4 heads of 64 positions and 64 channels. The backend MATH, which computes
# in float32, takes less than a third of that. So mixed precision on a CPU makes short attention
# slower. Seen in torch 2.14.1. It meets whoever trains a U-Net or a small transformer under
# torch.autocast("cpu"). vdiff leaves it so: it is a twentieth of a training of the preset record.
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
from contextlib import nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

torch.set_num_threads(1)


def milliseconds(dtype, backend=None):
    """Of the forward and of the backward pass, the least of 30."""
    shape, g = (16, 4, 64, 64), torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(shape, generator=g).to(dtype).requires_grad_() for _ in range(3))
    upstream, times = torch.randn(shape, generator=g).to(dtype), []
    for _ in range(30):
        start = time.perf_counter()
        with nullcontext() if backend is None else sdpa_kernel(backend):
            out = scaled_dot_product_attention(q, k, v)
        between = time.perf_counter()
        out.backward(upstream)
        times.append((between - start, time.perf_counter() - between))
    return [1e3 * min(column) for column in zip(*times)]


print(f"torch {torch.__version__}; 16 images, 4 heads, 64 positions, 64 channels, one thread")
print("expected: half as many bytes take at most as long, forward and backward")
single, half = milliseconds(torch.float32), milliseconds(torch.bfloat16)
by_products = milliseconds(torch.bfloat16, SDPBackend.MATH)
for name, (there, back) in (
    ("float32", single), ("bfloat16", half), ("bfloat16, backend MATH", by_products)
):  # fmt: skip
    print(f"{name}: forward {there:.2f} ms, backward {back:.2f} ms")
# Seen: 1.14 and 3.35, 0.77 and 24.86, 2.58 and 6.92 ms.
sys.exit(0 if half[1] > 1.8 * single[1] and half[1] > 1.8 * by_products[1]
         else "no longer as described")  # fmt: skip
END

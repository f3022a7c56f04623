#!/usr/bin/env bash
# `torch.rand` draws from [0, 1), and a reader expects 0 as seldom as in float32, about never. On
# the CPU one draw in 500 is 0 in bfloat16, one in 4,000 in float16: its logarithm is minus
# infinity, a diffusion time is 0, a unit of dequantisation noise is missing. Seen in torch
# 2.14.1. It meets whoever draws times, dequantisation noise or Gumbel noise in the type of the
# network. vdiff draws times in float64, noise in float32 at least, and converts them where the
# network asks for it.
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

n = 2**20
print(f"torch {torch.__version__}")
print("expected: at most a few zeros in a million draws, for every type")
zeros = {}
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    u = torch.rand(n, dtype=dtype, generator=torch.Generator().manual_seed(0))
    zeros[dtype] = int((u == 0).sum())
    print(f"{dtype}: {zeros[dtype]} zeros, {int(u.log().isinf().sum())} infinite logarithms")
as_described = zeros[torch.float32] < 5 and zeros[torch.float16] > 100
sys.exit(0 if as_described and zeros[torch.bfloat16] > 1000 else "no longer as described")
END

#!/usr/bin/env bash
# torchdiffeq's adaptive solvers take rtol and atol, and a reader expects the answer for an
# example to keep to them whatever else is in the batch. The error is measured by the root mean
# square over the whole batch, so that one hard example among easy ones gets steps that are too
# long for it: with the same tolerance of 1e-4 the error of its logarithm is 0.0006 alone and 0.3
# among 10,000 others. Seen in 0.2.5. It meets whoever computes likelihoods by the
# probability-flow ODE in batches: they depend on batch size and batch mates. vdiff gives each
# example steps and tolerance of its own.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 torchdiffeq==0.2.5
"$folder/bin/python" - <<'END'
import math
import sys
from importlib.metadata import version

import torch
from torchdiffeq import odeint

t = torch.tensor([0.0, 1.0], dtype=torch.float64)


def error(mates):
    """Of log y(1) for y' = 20 cos(20 t) y, y(0) = 1, beside mates that stay where they are."""

    def slope(t, y):
        return torch.cat([20 * torch.cos(20 * t) * y[:1], torch.zeros_like(y[1:])])

    y = odeint(slope, torch.ones(1 + mates, dtype=torch.float64), t, rtol=1e-4, atol=1e-4)
    return abs(float(y[-1, 0].log()) - math.sin(20))


found = {mates: error(mates) for mates in (0, 100, 10_000)}
print(f"torchdiffeq {version('torchdiffeq')}, torch {torch.__version__}")
print("expected: the same error, near rtol = atol = 1e-4, for any number of batch mates")
print("seen:", {mates: round(e, 4) for mates, e in found.items()})
as_described = found[0] < 2e-3 and found[10_000] > 0.1
sys.exit(0 if as_described else "no longer as described")
END

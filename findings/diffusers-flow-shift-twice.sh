#!/usr/bin/env bash
# A `FlowMatchEulerDiscreteScheduler(shift=3)` has a table of 1,000 noise levels, `sigmas`, and a
# reader expects `set_timesteps(1000)` to sample on just these. It starts from the least level of
# the table, which is shifted already, and shifts once more: the levels between differ, and the
# least is 0.0089 instead of 0.0030, three times as noisy. Without a shift the two tables are the
# same. The Heun variant does likewise. Seen in diffusers 0.42.1. It meets whoever takes the noise
# levels of a likelihood, or of training, from the scheduler: they depend on whether
# `set_timesteps` was called. vdiff reads neither: the network is told the noise level itself,
# whatever the shift.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 diffusers==0.42.1
"$folder/bin/python" - <<'END'
import sys

import diffusers
import torch

print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
print("expected: 1,000 sampling levels are the 1,000 levels of the table")
found = {}
for kind in ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"):
    for shift in (1.0, 3.0):
        scheduler = getattr(diffusers, kind)(shift=shift)
        least = float(scheduler.sigmas[scheduler.sigmas > 0].min())
        scheduler.set_timesteps(1000)
        after = float(scheduler.sigmas[scheduler.sigmas > 0].min())
        found[kind, shift] = after / least
        print(f"{kind}, shift {shift:g}: least level {least:.4f}, then {after:.4f}")
as_described = all(abs(r - 1) < 1e-3 if s == 1 else r > 2.5 for (_, s), r in found.items())
sys.exit(0 if as_described else "no longer as described")
END

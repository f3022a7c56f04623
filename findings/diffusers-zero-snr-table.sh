#!/usr/bin/env bash
# With `rescale_betas_zero_snr=True` the last step of a table has no signal, so a reader expects
# `alphas_cumprod` to decrease to 0. DDPM's and DDIM's end at 0, but those of Euler, Euler
# ancestral, DPM++ multistep and UniPC end at 2**-24, which for linear betas lies above the entry
# before: the last step has more signal than the last but one, and the same configuration has
# different tables in different schedulers. Seen in diffusers 0.42.1. It meets whoever reads noise
# levels off a scheduler, as all who compute likelihoods must. vdiff leaves out a last entry of 0
# or 2**-24, and the prior of the step before is part of its bound.
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

kinds = ("DDPM", "DDIM", "EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep")
ends = {}
for kind in (*kinds, "UniPCMultistep"):
    scheduler = getattr(diffusers, f"{kind}Scheduler")(
        beta_schedule="linear", rescale_betas_zero_snr=True, prediction_type="v_prediction"
    )
    ends[kind] = scheduler.alphas_cumprod[-2:].tolist()
print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
print("expected: the last two entries of alphas_cumprod decrease, to 0, and are the same for all")
for kind, (before, last) in ends.items():
    print(f"{kind}: {before:.2e}, {last:.2e}")
rising = [kind for kind, (before, last) in ends.items() if last > before]
as_described = len(rising) == 4 and ends["DDPM"][1] == ends["DDIM"][1] == 0
sys.exit(0 if as_described else "no longer as described")
END

#!/usr/bin/env bash
# diffusers' schedulers have `add_noise`, which is to add the noise of the training step that it is
# given, and a reader expects the same of each scheduler on the same table of betas. That of a new
# `DPMSolverMultistepScheduler`, `DPMSolverSinglestepScheduler`, `DEISMultistepScheduler` or
# `UniPCMultistepScheduler` counts the steps backwards: step 0 gets the noise of step 999. After
# `set_timesteps(10)` each step that is not one of the ten gets that of the last of them, unsaid.
# Seen in 0.42.1. It meets whoever trains or scores a network with the scheduler that they sample
# with: losses at a step are those of another. vdiff reads the table and adds noise itself.
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

steps = torch.tensor([0, 100, 450, 700, 999])
noise = torch.ones(5, 1, 1, 1)


def share(name, sampling_steps=None):
    """Of noise in what `add_noise` makes of an image of zeros at each of the steps."""
    scheduler = getattr(diffusers, name + "Scheduler")()
    if sampling_steps:
        scheduler.set_timesteps(sampling_steps)
    return scheduler.add_noise(torch.zeros_like(noise), noise, steps).flatten()


print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
table = diffusers.DDPMScheduler().alphas_cumprod
expected = (1 - table[steps]).sqrt()
print("steps", steps.tolist(), "expected:", [round(s, 3) for s in expected.tolist()])
assert torch.allclose(share("DDPM"), expected, atol=1e-5)
backwards = (1 - table[999 - steps]).sqrt()
as_described = True
for name in ("DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep", "UniPCMultistep"):
    new, later = share(name), share(name, 10)
    print(name, *([round(s, 3) for s in found.tolist()] for found in (new, later)))
    last = float((1 - table[100]).sqrt())  # the ten steps are 999, 899, ..., 200, 100
    as_described &= torch.allclose(new, backwards, atol=1e-5)
    as_described &= torch.allclose(later[:4], torch.full((4,), last), atol=1e-5)
sys.exit(0 if as_described else "no longer as described")
END

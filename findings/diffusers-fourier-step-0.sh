#!/usr/bin/env bash
# `UNet2DModel(time_embedding_type="fourier")` reads as a matter of the time embedding alone, to
# be trained with any scheduler. The network also takes the logarithm of the timestep and divides
# its output by it, as suits a noise level sigma: with DDPM's steps, counted from 0, the output at
# step 0 is NaN, and that of step 999 is a thousandth of that of step 1. Seen in diffusers 0.42.1.
# It meets whoever trains such a network with DDPM's steps: one image in 1,000 makes the loss NaN,
# and every likelihood includes step 0. vdiff refuses a network whose output is not finite.
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

torch.manual_seed(0)
scheduler = diffusers.DDPMScheduler()
x = torch.randn(1, 1, 8, 8)


def size(kind, t):
    """The root mean square of the output, untrained, on a noisy image of step t."""
    net = diffusers.UNet2DModel(
        8,
        1,
        1,
        time_embedding_type=kind,
        block_out_channels=(32,),
        norm_num_groups=8,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    ).eval()
    with torch.no_grad():
        return float(net(scheduler.add_noise(x, x, t), t).sample.square().mean().sqrt())


print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
print("expected: outputs of one order of magnitude at all of DDPM's steps")
found = {}
for kind in ("positional", "fourier"):
    found[kind] = [size(kind, torch.tensor([k])) for k in (0, 1, 999)]
    print(kind, {k: f"{v:.1e}" for k, v in zip((0, 1, 999), found[kind], strict=True)})
nan, first, last = found["fourier"]
as_described = nan != nan and last < first / 300 and max(found["positional"]) < 10
sys.exit(0 if as_described else "no longer as described")
END

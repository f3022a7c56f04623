#!/usr/bin/env bash
# `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn` keeps an exponential moving
# average of a network's weights, and after many times 1 / (1 - decay) updates a reader expects it
# to be where the weights are. The average has the weights' own type, and in bfloat16 an update of
# decay 0.999 is below half of a step, so that it is rounded away: after 20,000 updates on weights
# of 2 the average is still at 1, where it began; in float16 it stops half way. diffusers'
# `EMAModel` does the same. Seen in torch 2.14.1 and diffusers 0.42.1. It meets whoever keeps
# half-precision weights and evaluates or samples with their average. vdiff trains and averages
# weights in float32, and rounds at export alone.
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
from diffusers.training_utils import EMAModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averages(dtype):
    """Of a weight that is 1 at the first updates and 2 ever after: torch's and diffusers'."""
    net = torch.nn.Linear(1, 1, bias=False, dtype=dtype)
    torch.nn.init.ones_(net.weight)
    torchs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    torchs.update_parameters(net)
    theirs = EMAModel(net.parameters(), decay=0.999, min_decay=0.999)
    for _ in range(2):  # which copy
        theirs.step(net.parameters())
    torch.nn.init.constant_(net.weight, 2.0)
    for _ in range(20_000):
        torchs.update_parameters(net)
        theirs.step(net.parameters())
    return torchs.module.weight.item(), theirs.shadow_params[0].item()


print(f"torch {torch.__version__}, diffusers {diffusers.__version__}")
print("expected: 2 for every type, within rounding")
found = {dtype: averages(dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16)}
for dtype, (torchs, theirs) in found.items():
    print(f"{dtype}: torch {torchs:.3f}, diffusers {theirs:.3f}")
as_described = min(found[torch.float32]) > 1.99 and max(found[torch.float16]) < 1.8
as_described &= max(found[torch.bfloat16]) < 1.1
sys.exit(0 if as_described else "no longer as described")
END

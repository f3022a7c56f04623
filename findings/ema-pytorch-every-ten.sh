#!/usr/bin/env bash
# `ema_pytorch.EMA(net, beta=0.999)` updated at every step should, by its name and the usual rule,
# average over some 1 / (1 - beta) = 1,000 steps. By default it takes each tenth call of `update`
# for an update, and does not adjust beta: on weights that grow by 1 a step it is 5,800 steps
# behind after 20,000, with `update_every=1` 700 (beta warms up), and torch's average 1,000. Seen
# in ema-pytorch 0.8.3. It meets whoever evaluates a likelihood with the averaged weights of a run
# that is not much longer, and whoever compares runs by their beta: denoising-diffusion-pytorch's
# trainer has it set to 10 as well. vdiff averages at every step, with warm-up where asked.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 ema-pytorch==0.8.3
"$folder/bin/python" - <<'END'
import sys
from importlib.metadata import version

import torch
from ema_pytorch import EMA
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

net = torch.nn.Linear(1, 1, bias=False)
steps = 20_000


@torch.no_grad()
def lag(update, weight):
    """How many steps an average is behind weights that are the number of the step."""
    for step in range(steps):
        net.weight.fill_(float(step))
        update()
    return steps - 1 - weight().item()


def theirs(**more):
    ema = EMA(net, beta=0.999, update_after_step=0, **more)
    return lag(ema.update, lambda: ema.ema_model.weight)


torchs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999))
usual = lag(lambda: torchs.update_parameters(net), lambda: torchs.module.weight)
default, every = theirs(), theirs(update_every=1)
print(f"ema-pytorch {version('ema-pytorch')}, torch {torch.__version__}")
print("expected: some 1,000 steps behind, by beta = 0.999")
print(f"ema-pytorch {default:.0f}, with update_every=1 {every:.0f}; torch {usual:.0f}")
as_described = default > 4000 and every < 1100 and abs(usual - 1000) < 50
sys.exit(0 if as_described else "no longer as described")
END

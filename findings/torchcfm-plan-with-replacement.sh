#!/usr/bin/env bash
# The optimal plan between two batches of equal size pairs each noise with one image, and a reader
# of torchcfm's `ExactOptimalTransportConditionalFlowMatcher` expects a batch to come back paired
# anew. It draws pairs from the plan with replacement: of 256 images some 160 come back, some of
# them several times, and the rest of the batch is not trained on. The draws are numpy's, so that
# `torch.manual_seed` does not repeat them; nor does it for torchsde's Brownian motion. Seen in
# torchcfm 1.0.7 and torchsde 0.2.6. It meets whoever trains flows with couplings, by batches of
# the effective size of two thirds, and whoever wants the same run twice. vdiff does not take
# couplings, whose velocity determines no score, and its randomness is an argument.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 torchsde==0.2.6 torchcfm==1.0.7
"$folder/bin/python" - <<'END'
import sys
from importlib.metadata import version

import torch
import torchcfm
import torchsde

torch.manual_seed(0)
noise, images = torch.randn(2, 256, 2)
matcher = torchcfm.ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)


def ends():
    """Where the straight paths of a batch lead, found at t = 1."""
    torch.manual_seed(0)
    return matcher.sample_location_and_conditional_flow(noise, images, t=torch.ones(256))[1]


def brownian():
    torch.manual_seed(0)
    return torchsde.BrownianInterval(0.0, 1.0, size=(3,))(0.0, 1.0)


distinct = len(ends().unique(dim=0))
draws = {"torchcfm": ends, "torchsde": brownian}
repeated = {name: torch.equal(draw(), draw()) for name, draw in draws.items()}
print(*(f"{name} {version(name)}" for name in ("torchcfm", "torchsde", "torch")), sep=", ")
print("expected: 256 of 256 images, and the same again after torch.manual_seed")
print(f"seen: {distinct} images; the same again: {repeated}")
sys.exit(0 if distinct < 200 and not any(repeated.values()) else "no longer as described")
END

#!/usr/bin/env bash
# MONAI's `DiffusionInferer.get_likelihood` sums the terms of the variational bound, and that of
# an exact network should be near the true entropy. With the scheduler's default `variance_type`,
# fixed_small, the standard deviation of the last step is 1e-10, so that the last term of a pixel
# is either 0 or -log(1e-12) = 27.63 nats, whatever the network: for an exact network 32 bits/dim
# where the truth is 8. `fixed_large` is near it. Seen in 1.6.1. It meets whoever reports
# likelihoods with MONAI's defaults. vdiff reads the network and the table alone (`from_monai`);
# below the least noise its bound keeps to the score that the network has there.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 monai==1.6.1
"$folder/bin/python" - <<'END'
import math
import sys

import monai
import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDPMScheduler
from torch.distributions import Normal

torch.manual_seed(0)
std, grey = 0.5, 255  # pixels of N(0, 1/4) in [-1, 1], with 256 grey levels
images = std * torch.randn(32, 1, 8, 8)
images = ((images.clamp(-1, 1) + 1) / 2 * grey).round() / grey * 2 - 1
abar = DDPMScheduler().alphas_cumprod.double()


class Exact(torch.nn.Module):
    """The mean of the noise, given the noisy image."""

    def forward(self, x, timesteps, context=None):
        a = abar[timesteps].reshape(-1, 1, 1, 1)
        return ((1 - a).sqrt() * x / (a * std**2 + 1 - a)).to(x)


def bits(**how):
    """The mean in bits/dim, and what the pixels' last terms are in nats."""
    scheduler = DDPMScheduler(clip_sample=False, **how)
    nats, terms = DiffusionInferer(scheduler).get_likelihood(
        images, Exact(), scheduler, True, verbose=False, scaled_input_range=(-1, 1)
    )
    return float(nats.mean()) / math.log(2), terms[-1].abs().unique()


truth = -float(Normal(0.0, std).log_prob(images).mean() + math.log(2 / grey)) / math.log(2)
(default, last), (large, _) = bits(), bits(variance_type="fixed_large")
print(f"MONAI {monai.__version__}, torch {torch.__version__}")
print(f"expected: about {truth:.2f} bits/dim, for the network is exact")
print(f"by default {default:.2f}, with fixed_large {large:.2f} bits/dim")
print(f"the last terms of the pixels by default: {[round(v, 2) for v in last.tolist()]} nats")
as_described = default > 2 * truth and abs(large - truth) < 1 and len(last) == 2
sys.exit(0 if as_described else "no longer as described")
END

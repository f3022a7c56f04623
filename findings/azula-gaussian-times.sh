#!/usr/bin/env bash
# azula's `Denoiser` takes a time for all rows or one for each, t of shape () or (B,), and a
# reader expects to put one denoiser in the place of another. The analytical `GaussianDenoiser`
# takes () alone, as its own page says, and (B,) raises an error about shapes, while a
# `SimpleDenoiser` takes both. Seen in 0.11.1. It meets whoever checks the likelihood code for a
# network, which asks at a time for each row, against the exact Gaussian. vdiff asks such a
# denoiser row by row (`from_azula`).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 azula==0.11.1
"$folder/bin/python" - <<'END'
import sys
from importlib.metadata import version

import torch
from azula.denoise import GaussianDenoiser, SimpleDenoiser
from azula.linalg.covariance import DiagonalCovariance
from azula.noise import VPSchedule


class Zero(torch.nn.Module):
    def forward(self, x, t):
        return 0 * x


x = torch.randn(5, 3)
cov = DiagonalCovariance(torch.full((3,), 0.25))
denoisers = {
    "GaussianDenoiser": GaussianDenoiser(torch.zeros(3), cov, VPSchedule()),
    "SimpleDenoiser": SimpleDenoiser(Zero(), VPSchedule()),
}
print(f"azula {version('azula')}, torch {torch.__version__}")
print("expected: both denoise five rows at one time, and at five times")
failed = []
for name, denoiser in denoisers.items():
    for shape in ((), (5,)):
        try:
            print(name, shape, tuple(denoiser(x, torch.full(shape, 0.5)).mean.shape))
        except RuntimeError as error:
            failed.append((name, shape))
            print(name, shape, str(error).splitlines()[0])
sys.exit(0 if failed == [("GaussianDenoiser", (5,))] else "no longer as described")
END

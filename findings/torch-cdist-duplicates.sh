#!/usr/bin/env bash
# `torch.cdist` is the distance of each row to each row, so an image's distance to itself should
# be 0 and no other 0. For more than 25 rows it expands the square, and in float32 loses what is
# small beside the norms: of random images in [0, 255] with 3,072 numbers, many are up to 5.7 away
# from themselves, and some images that differ by 2.5 are at distance 0; for 20 rows all are
# right. `compute_mode="donot_use_mm_for_euclid_dist"` is right for any number. Seen in torch
# 2.14.1. It meets whoever looks for copies of training images among samples, or computes
# precision, recall or densities by nearest neighbours. vdiff uses it to show neighbours alone;
# copies are counted without it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1
"$folder/bin/python" - <<'END'
import sys

import torch

torch.manual_seed(0)
images = torch.randint(256, (200, 3072)).float()
near = images.clone()
near[:, 0] += 2.5  # each image but for one number
print(f"torch {torch.__version__}")
print("expected: 0 of an image to itself, 2.5 to one that differs by 2.5 in one number")
found = {}
for rows, mode in ((20, {}), (200, {}), (200, {"compute_mode": "donot_use_mm_for_euclid_dist"})):
    self, other = (torch.cdist(x[:rows], images[:rows], **mode).diag() for x in (images, near))
    found[rows, len(mode)] = float(self.max()), float(other.min())
    print(f"{rows} rows {mode or ''}: {self.max():.2f} at most, {other.min():.2f} at least")
right = (found[20, 0], found[200, 1])
as_described = all(a == 0 and abs(b - 2.5) < 0.01 for a, b in right)
as_described &= found[200, 0][0] > 1 and found[200, 0][1] < 1
sys.exit(0 if as_described else "no longer as described")
END

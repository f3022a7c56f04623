#!/usr/bin/env bash
# `to_pil_image` and `ToPILImage` turn float images in [0, 1] into grey levels, and a reader
# expects the nearest ones. They truncate: an image that is a hundredth of a level away from its
# grey levels, as samples of a well-trained model are, loses a level in half of its pixels and is
# darker by half a level on average. `save_image` rounds, so that the same samples are different
# files by the two ways; `convert_image_dtype` does neither: its levels are 256 equal bins. Seen
# in torchvision 0.29.1. It meets whoever computes FID, or a likelihood in bits/dim, of saved
# samples. vdiff rounds to the nearest level.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$folder/bin/python" - <<'END'
import sys
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional as old
from torchvision.transforms.v2 import functional as new
from torchvision.utils import save_image

torch.manual_seed(0)
levels = torch.randint(1, 255, (64, 64), dtype=torch.uint8).expand(3, -1, -1)
image = levels / 255 + 0.01 / 255 * torch.randn(3, 64, 64)


def saved(x):
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        save_image(x, file.name)
        return Image.open(file.name).copy()


ways = {
    "to_pil_image": old.to_pil_image,
    "v2.to_pil_image": new.to_pil_image,
    "save_image": saved,
    "convert_image_dtype": lambda x: old.convert_image_dtype(x, torch.uint8).permute(1, 2, 0),
}
print(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
print("expected: the grey levels that the image is a hundredth of a level from, all of them")
changed = {}
for name, way in ways.items():
    off = np.asarray(way(image)).astype(int) - levels.permute(1, 2, 0).numpy()
    changed[name] = (off != 0).mean()
    print(f"{name}: {changed[name]:.1%} of the pixels are changed, by {off.mean():+.3f} on average")
as_described = min(changed["to_pil_image"], changed["v2.to_pil_image"]) > 0.4
as_described &= changed["save_image"] == 0
sys.exit(0 if as_described else "no longer as described")
END

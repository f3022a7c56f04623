#!/usr/bin/env bash
# torchvision's `ToTensor` of a greyscale image of 16 bits is documented to return its values
# without scaling. From 32,768 on they come out negative: 40,000 is -25,536 and white is -1, darker
# than black. Images of mode `I`, which the documentation lists among those that are scaled to
# [0, 1], come out as they are. `v2.functional.to_image` keeps 16 bits. Seen in 0.29.1. It meets
# whoever trains on depth, medical or satellite images: their histograms are torn in two, and
# likelihoods in bits/dim are of other data. vdiff refuses images of other modes than L and RGB.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 torchvision==0.29.1
"$folder/bin/python" - <<'END'
import sys

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

grey = np.array([[0, 1000, 32767, 40000, 65535]])
deep = Image.fromarray(grey.astype(np.uint16))
wide = Image.fromarray(grey.astype(np.int32))
print(f"torchvision {torchvision.__version__}, torch {torch.__version__}, Pillow {PIL.__version__}")
print("expected:", grey[0].tolist(), "of mode I;16, and numbers in [0, 1] of mode I")
found = {image.mode: transforms.ToTensor()(image).flatten().tolist() for image in (deep, wide)}
new = v2.functional.to_image(deep).flatten().tolist()
print("seen:", found, "and by to_image", new)
wrapped = grey[0].astype(np.uint16).astype(np.int16).tolist()
as_described = found == {"I;16": wrapped, "I": grey[0].tolist()} and new == grey[0].tolist()
sys.exit(0 if as_described else "no longer as described")
END

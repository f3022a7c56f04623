#!/usr/bin/env bash
# On a CPU, torch's GroupNorm on images in the layout channels_last takes one of two ways by the
# number of pixels: from 1,024 on it is nearly as fast as in the usual layout, below that many times
# as slow where groups have few channels. So images of 31 x 31 pixels take 7 to 66 times as long as
# images of 32 x 32. Seen in torch 2.14.1. It meets whoever trains or evaluates a U-Net with
# GroupNorm(32) in channels_last on a CPU, all of whose lower levels are that small. vdiff keeps
# channels first there (`UNet._laid_out`).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 numpy==2.4.6
"$folder/bin/python" - <<'END'
import sys
import time

import torch
from torch.nn.functional import group_norm

torch.set_num_threads(1)


def milliseconds(side, dtype, layout):
    x = torch.randn(16, 32, side, side, dtype=dtype).contiguous(memory_format=layout)
    weight, bias, times = torch.ones(32, dtype=dtype), torch.zeros(32, dtype=dtype), []
    for _ in range(30):
        start = time.perf_counter()
        group_norm(x, 32, weight, bias)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


print(f"torch {torch.__version__}; 16 images, 32 groups of one of 32 channels")
print("expected: an image with a pixel less on each side takes a little less time")
slower = []
for dtype in (torch.float32, torch.bfloat16):
    usual = milliseconds(31, dtype, torch.contiguous_format)
    less, more = (milliseconds(side, dtype, torch.channels_last) for side in (31, 32))
    slower.append(less / more)
    print(f"{dtype}: channels_last, 31 x 31: {less:.2f} ms, 32 x 32: {more:.2f} ms; "
          f"31 x 31 in the usual layout: {usual:.2f} ms")  # fmt: skip
# Seen: 3.97, 0.60, 0.24 and 17.26, 0.26, 0.32 ms.
sys.exit(0 if min(slower) > 3 else "no longer as described")
END

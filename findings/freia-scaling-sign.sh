#!/usr/bin/env bash
# FrEIA's modules return the logarithm of the determinant of the direction in which they are run:
# its documentation has J forwards and -J backwards. `LearnedElementwiseScaling` returns J in both.
# A network with one of them has right log densities of data and wrong ones of its own samples, by
# twice the sum of the logarithms of the factors: 2 nats here. Seen in 0.2, with `SequenceINN`. It
# meets whoever samples with log densities, such as for importance weights, evidence bounds and
# reverse Kullback-Leibler divergences. vdiff takes no flows of layers.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 FrEIA==0.2
"$folder/bin/python" - <<'END'
import sys
from importlib.metadata import version

import torch
from FrEIA import framework, modules

torch.manual_seed(0)
logs = torch.tensor([0.1, 0.2, 0.3, 0.4])


def there_and_back(module, **options):
    """log |det| of a network of one module, forwards and then backwards."""
    network = framework.SequenceINN(4)
    network.append(module, **options)
    for s in (p for name, p in network.named_parameters() if name.endswith("s")):
        s.data.copy_(logs.reshape(s.shape))
    with torch.no_grad():
        y, there = network(torch.randn(3, 4))
        _, back = network(y, rev=True)
    return round(float(there[0]), 4), round(float(back[0]), 4)


print(f"FrEIA {version('FrEIA')}, torch {torch.__version__}")
print("expected: numbers that add up to 0")
linear = there_and_back(modules.FixedLinearTransform, M=logs.exp().diag(), b=torch.zeros(4))
scaling = there_and_back(modules.LearnedElementwiseScaling)
print(f"FixedLinearTransform: {linear}, LearnedElementwiseScaling: {scaling}")
as_described = linear == (1, -1) and scaling == (1, 1)
sys.exit(0 if as_described else "no longer as described")
END

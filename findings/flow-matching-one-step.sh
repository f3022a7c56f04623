#!/usr/bin/env bash
# flow_matching's `ODESolver.compute_likelihood` takes a `step_size` that may be None. Since
# `atol` and `rtol` have defaults too, a reader expects None to leave the steps to the solver.
# With the default method, euler, it is one Euler step from t = 1 to t = 0: even for an exact
# velocity the likelihood is nats too low, and `sample` puts everything on the mean. Seen in
# 1.0.10. It meets whoever computes likelihoods of a flow-matching model and leaves the step size
# open. vdiff integrates with adaptive steps (`method="ode"`), and its bound needs no solver. tqdm
# is installed beside it because the package imports it and does not ask for it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086 # options are words
"$folder/bin/pip" install --quiet ${PIP_ARGS:-} \
    torch==2.14.1 flow_matching==1.0.10 tqdm==4.70.1
"$folder/bin/python" - <<'END'
import sys
from importlib.metadata import version

import torch
from flow_matching.solver import ODESolver
from flow_matching.utils import ModelWrapper
from torch.distributions import Normal

torch.manual_seed(0)
mean, std = 0.3, 0.5  # of the data, two independent numbers


class Exact(ModelWrapper):
    """The mean of data less noise, given their mixture t data + (1 - t) noise."""

    def forward(self, x, t, **_):
        return mean + (t * std**2 - (1 - t)) / (t**2 * std**2 + (1 - t) ** 2) * (x - t * mean)


def log_p0(x):
    return Normal(0.0, 1.0).log_prob(x).sum(1)


solver = ODESolver(velocity_model=Exact(torch.nn.Identity()))
data = mean + std * torch.randn(1000, 2)
truth = Normal(mean, std).log_prob(data).sum(1)


def excess(**how):
    found = solver.compute_likelihood(data, log_p0, exact_divergence=True, **how)[1]
    return float((found - truth).mean())


none = excess(step_size=None)
small, adaptive = excess(step_size=0.01), excess(step_size=None, method="dopri5")
spread = float(solver.sample(torch.randn(1000, 2), step_size=None).std(0).max())
print(f"flow_matching {version('flow_matching')}, torch {torch.__version__}")
print("expected: the true log density, within 0.1 nats, and samples as wide as the data")
print(f"step_size=None: {none:+.2f} nats; 0.01: {small:+.2f}; None with dopri5: {adaptive:+.4f}")
print(f"samples of step_size=None: standard deviation {spread:.1e} where the data have {std}")
as_described = none < -1 and abs(small) < 0.1 and abs(adaptive) < 0.01 and spread < 1e-3
sys.exit(0 if as_described else "no longer as described")
END

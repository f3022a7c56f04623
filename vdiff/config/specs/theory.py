"""The paper's identities on a mixture of Gaussians."""

from vdiff.config.fields import Distinct, Lambda, Positive, Strict, key
from vdiff.config.specs.spec import FAULT, Output, Spec


class Theory(Strict):
    """The paper's identities on a mixture of Gaussians whose drift is known."""

    errors: Distinct[float] = key(
        [0, 0.2, 0.4], "Sizes of the error that is added to the true drift."
    )
    paths: int = key(8_000, "Paths of the Feynman-Kac expectation.", ge=100)
    path_steps: Positive = key(150, "Steps of a path.")
    flow_points: int = key(1000, "Points whose density the ODE computes.", ge=10)
    lmbds: Distinct[Lambda] = key(
        [-10, -2, -0.9, 0, 0.5, 0.9], "Members whose bound is compared with their value."
    )
    law_lmbds: Distinct[Lambda] = key([-2, 0, 0.9, 1], "Members that are sampled.")
    samples: int = key(30_000, "Samples of each.", ge=100)
    sample_steps: Positive = key(160, "Steps of the solver.")
    layers: Positive = key(256, "Layers of the smallest hierarchical VAE.")
    doublings: int = key(3, "How often their number is doubled.", ge=2)
    layer_points: int = key(500, "Points behind the layers' bounds.", ge=20)


COLUMNS = {
    "source": "`exact`: a mixture of Gaussians; `learned`: the network",
    "fault": FAULT,
    "statement": "which identity (vdiff/steps/theory.py)",
    "setting": "the drift's error c, λ, or number of layers L",
    "measured": "its measured side, nats (a ratio for feynman_kac, a slope for layers_slope)",
    "std_err": "standard error of measured minus expected",
    "expected": "what theory says",
}

SPEC = Spec(
    "theory",
    "theory",
    Theory,
    (Output("out", "theory.csv", "theory", COLUMNS),),
    first_arm=True,
    images=False,
    minutes=60,
)

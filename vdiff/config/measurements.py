"""What is measured on trained networks: the sections of an experiment, a step of `specs/` each."""

from vdiff.config.fields import Strict, key
from vdiff.config.specs.discrete import Discrete
from vdiff.config.specs.distances import Distances
from vdiff.config.specs.evaluate import Evaluation
from vdiff.config.specs.forms import Forms
from vdiff.config.specs.inference import Inference
from vdiff.config.specs.likelihood import Likelihood
from vdiff.config.specs.quality import Quality
from vdiff.config.specs.sample import Sampling
from vdiff.config.specs.theory import Theory
from vdiff.config.specs.trajectory import Trajectory
from vdiff.config.specs.variance import Variance


class Measurements(Strict):
    """What is measured on a trained network; a section that is absent or null is switched off."""

    evaluation: Evaluation = key(Evaluation(), "Bits/dim along training.")
    likelihood: Likelihood | None = key(None, "Exact likelihood of the ODE.")
    discrete: Discrete | None = key(None, "Probability of the grey levels.")
    variance: Variance | None = key(None, "Variance of estimators and gradients.")
    sampling: Sampling | None = key(None, "Sampled images.")
    quality: Quality | None = key(None, "Quality of many samples.")
    trajectory: Trajectory | None = key(None, "The lambda family, figure 5.")
    distances: Distances | None = key(None, "Distances of samples to the data.")
    forms: Forms | None = key(None, "The forms of score matching along training.")
    theory: Theory | None = key(None, "The paper's identities on a mixture.")
    inference: Inference | None = key(None, "Generative and inference SDEs, figure 1.")

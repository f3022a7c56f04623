"""Posteriors of the package sbi by score matching (NPSE) and by flow matching (FMPE).

```python
model = from_sbi(inference.build_posterior())
model.log_prob(theta, x)  # one x for each theta
```
"""

from typing import Any

from torch import Tensor

from vdiff.adapters.flow_matching import NEAREST
from vdiff.adapters.path import from_path
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model


def from_sbi(posterior: Any, **keys: Any) -> Model:
    """The model of parameters theta whose condition is x, one for each theta.

    Its density is the network's own: a posterior of sbi also cuts it at the bounds of its prior.

    Arguments:
        posterior: A VectorFieldPosterior, or its estimator.
        **keys: Further arguments of `vdiff.wrap`.

    Raises:
        VdiffError: For posteriors of other kinds, and for those of standardised parameters.
    """
    estimator = getattr(posterior, "vector_field_estimator", posterior)
    if not hasattr(estimator, "score") or not hasattr(estimator, "input_shape"):
        raise VdiffError(
            f"The posterior is a {type(estimator).__name__}; it must be of NPSE or FMPE, a "
            "VectorFieldPosterior or its estimator."
        )
    if estimator.compose_enabled:
        raise VdiffError(
            "The network works on standardised parameters (compose_standardization is on), whose "
            "density is another than that of the parameters; it must be off."
        )
    data = tuple(estimator.input_shape)
    if not hasattr(estimator, "noise_scale"):

        def score(y: Tensor, t: Tensor, x: Tensor) -> Tensor:
            return estimator.score(y, x, t)

        def path(t: Tensor) -> tuple[Tensor, Tensor]:
            shape = (len(t),)
            return estimator.mean_t_fn(t).reshape(shape), estimator.std_fn(t).reshape(shape)

        ends = (float(estimator.t_min), float(estimator.t_max))
        return from_path(score, path, predicts="score", ends=ends, data=data, **keys)
    least = float(estimator.noise_scale)

    def noise(y: Tensor, t: Tensor, x: Tensor) -> Tensor:
        """From y = (1 - t) theta + (t + least) eps and velocity = eps - theta."""
        velocity = estimator(y, x, t)
        return ((1 - expand_like(t, y)) * velocity + y) / (1 + least)

    def straight(t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t + least

    ends = (0.0 if least else NEAREST, 1 - NEAREST)
    return from_path(noise, straight, predicts="noise", ends=ends, data=data, **keys)

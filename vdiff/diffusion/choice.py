"""Which Gaussian reference suits a network and its data: the one that leaves least variance.

Candidates are fitted on half of the pilot examples and compared on the other, where they have the
same draws of the network, which they cost no pass of.
"""

from torch import Tensor

from vdiff.diffusion.control import ControlVariates, Pilot
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.transforms import Fit, cosine, dense, identity, leading

DENSE = 1024  # dimensions, up to which a dense matrix costs less than a second
HELD = 512  # rows that candidates are compared on, at most


def kinds_for(x: Tensor) -> dict[str, Fit]:
    """Candidates for vectors like x (N, ...): the whole covariance where it is small."""
    if x[0].numel() <= DENSE:
        return {"dense": dense.fit}
    return {
        "cosine": cosine.fit,
        "cosine, leading": leading.fit_on(cosine.fit),
        "leading": leading.fit_on(identity.fit),
    }


def untried(x: Tensor) -> Fit:
    """The candidate that is taken where none is compared with others: one reference for every
    network that learned from x (N, ...), so that their differences have its noise in common."""
    kinds = kinds_for(x)
    return kinds.get("dense") or kinds["cosine, leading"]


def fitted(sde: SDE, pilot: Pilot) -> ControlVariates:
    """The control variates of the best candidate, fitted on all the pilot."""
    kinds = kinds_for(pilot.x)
    best = next(iter(kinds))
    if len(kinds) > 1:
        half = len(pilot.examples) // 2 * pilot.each
        first, held = pilot[:half].examples, pilot[half : half + HELD]
        left = {
            name: held.fit(GaussianReference.fit(sde, first, kind)).variance
            for name, kind in kinds.items()
        }
        best = min(left, key=lambda name: left[name])
    return pilot.fit(GaussianReference.fit(sde, pilot.examples, kinds[best])).controls()

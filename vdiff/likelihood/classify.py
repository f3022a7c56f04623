"""Classes by Bayes' rule, p(y | x) ~ p(y) p(x | y), from bounds on log p(x | y).

The draws of all classes share their times and noise, so that what is common to the classes leaves
their differences. With z_k the draws of the bound L_k under class k,

    log p(k | x) = -log(1 + sum_{j != k} exp D_jk),   D_jk = L_j - L_k + log p(j) / p(k).

Each D_jk is a mean of differences of draws, without bias and with an error e_jk. As the posterior
falls with every D_jk, it lies between its values at D_jk + 1.96 e_jk and at D_jk - 1.96 e_jk if
each D_jk does. Of more than two classes the sum is too large in the mean, at most by the factor
exp(e_jk^2 / 2) of a lognormal; so much more is taken off at the second.

For the marginal, log p(x) = L_c + log p(c) - log p(c | x) for any class c, here the likeliest, and
both errors add. That the mean of a logsumexp of noisy terms is too large is taken off by the
jackknife of two halves of the draws, 2 M(all) - (M(one half) + M(other half)) / 2, to first order
in the variance of the D_jk; what is left lies within the error.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp

from vdiff.errors import VdiffError
from vdiff.likelihood.conditions import Conditions, conditions_of
from vdiff.likelihood.network import noise_at_unit
from vdiff.likelihood.result import LogProb
from vdiff.stats.few import mean_and_error, strata
from vdiff.stats.intervals import Z95

if TYPE_CHECKING:
    from vdiff.likelihood.model import Model

SUM = 1e-6  # by which priors may miss 1


class Posterior(NamedTuple):
    """Of draws (N, K, draws): bound, error: (N, K) nats; p, p_error: (N, K) the posterior;
    marginal, marginal_error: (N,) nats."""

    bound: np.ndarray
    error: np.ndarray
    p: np.ndarray
    p_error: np.ndarray
    marginal: np.ndarray
    marginal_error: np.ndarray


@dataclass(frozen=True)
class Classified:
    """What `Model.classify` finds for N examples and K classes.

    Each value ± 1.96 error covers in 95% of cases what infinitely many draws would give.

    Attributes:
        log_prob: (N, K) nats, bounds on log p(x | y) of each class.
        error: (N, K) nats, of these.
        posterior: (N, K), by Bayes' rule from these bounds.
        posterior_error: (N, K), of the posterior.
        marginal: log p(x) in nats, as `Model.log_prob` returns it.
    """

    log_prob: np.ndarray
    error: np.ndarray
    posterior: np.ndarray
    posterior_error: np.ndarray
    marginal: LogProb

    @property
    def predicted(self) -> np.ndarray:
        """(N,): the index of the likeliest class of each example."""
        return self.posterior.argmax(1)


def classify(
    model: "Model",
    x: Any,
    classes: Any,
    prior: Any,
    draws: int,
    batch_size: int,
    seed: int,
    progress: bool,
) -> Classified:
    """As `Model.classify` has it."""
    x, each = model.space.examples(x), conditions_of(classes)
    K = each.count or 0
    if K < 2:
        raise VdiffError(f"There are {K} classes; there must be at least 2, one condition each.")
    log_prior = np.log(_prior(prior, K))
    _check_told_apart(model, each, K)
    model._check_repeats(each)
    controls = model._controls(each, batch_size)
    z = np.stack(
        [
            model._bounds(controls, x, of_all(each, k, len(x)), draws, batch_size, seed, progress)
            for k in range(K)
        ],
        1,
    )
    posterior = posterior_of(z, log_prior)
    likeliest = z[np.arange(len(x)), posterior.p.argmax(1)]
    errors = [
        model._covered(v) for v in (posterior.error, posterior.p_error, posterior.marginal_error)
    ]
    marginal = model._result(posterior.marginal, errors[2], "elbo", likeliest, z.size, seed)
    return Classified(posterior.bound, errors[0], posterior.p, errors[1], marginal)


def of_all(classes: Conditions, k: int, n: int) -> Conditions:
    """Class k for each of n examples."""
    return classes[torch.full((n,), k)]


def posterior_of(z: np.ndarray, log_prior: np.ndarray) -> Posterior:
    """From draws z (N, K, draws) nats, in the strata of `few.strata`, and log priors (K,)."""
    N, K, draws = z.shape
    bound, error = (v.reshape(N, K) for v in mean_and_error(z.reshape(-1, draws)))
    log_p = _log_posterior(bound + log_prior)
    low, high = np.empty((N, K)), np.empty((N, K))
    for k in range(K):
        others = np.arange(K) != k
        D, e = mean_and_error((z[:, others] - z[:, k : k + 1]).reshape(-1, draws))
        D, e = (v.reshape(N, K - 1) for v in (D, e))
        D = D + log_prior[others] - log_prior[k]
        more = e**2 / 2 if K > 2 else 0
        low[:, k] = -np.logaddexp(0, logsumexp(D + Z95 * e, 1))
        high[:, k] = -np.logaddexp(0, logsumexp(D - Z95 * e - more, 1))
    p = np.exp(log_p)
    p_error = np.maximum(np.exp(high) - p, p - np.exp(low)) / Z95
    c = np.arange(N), log_p.argmax(1)
    rest = np.maximum(high[c] - log_p[c], log_p[c] - low[c]) / Z95
    return Posterior(bound, error, p, p_error, _marginal(z, log_prior), error[c] + rest)


def _log_posterior(joint: np.ndarray) -> np.ndarray:
    return joint - logsumexp(joint, 1, keepdims=True)


def _marginal(z: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """(N,) nats, without the bias of first order."""
    where = strata(z.shape[2])

    def plain(part: slice) -> np.ndarray:
        rows = z[:, :, part]
        mean, _ = mean_and_error(rows.reshape(-1, rows.shape[2]), where[part])
        return logsumexp(mean.reshape(z.shape[:2]) + log_prior, 1)

    halves = plain(slice(0, None, 2)), plain(slice(1, None, 2))
    return 2 * plain(slice(None)) - (halves[0] + halves[1]) / 2


def _prior(prior: Any, K: int) -> np.ndarray:
    """(K,) float64; even where None. Raises VdiffError for what is no prior of K classes."""
    if prior is None:
        return np.full(K, 1 / K)
    try:
        p = np.asarray(prior, np.float64)
    except (TypeError, ValueError) as error:
        raise VdiffError(f"The prior is {prior!r}; it must be {K} numbers: {error}.") from None
    if p.shape != (K,):
        raise VdiffError(f"The prior is of shape {p.shape}; it must be ({K},), one for each class.")
    if not (p > 0).all() or abs(p.sum() - 1) > SUM:
        raise VdiffError(
            f"The prior is {p.tolist()}, of sum {p.sum():.6g}; its parts must be above 0 and sum "
            "to 1 (leave classes out that cannot be)."
        )
    return p


@torch.no_grad()
def _check_told_apart(model: "Model", classes: Conditions, K: int) -> None:
    """Raise VdiffError unless the network takes conditions and tells one class from another."""
    y, s = noise_at_unit(model.sde, 1, model.space.shape, torch.Generator().manual_seed(0))
    said = [model.drift(of_all(classes, k, 1))(y, s) for k in range(K)]
    if all(torch.equal(v, said[0]) for v in said):
        raise VdiffError(
            "The network says the same under every class; it has no conditions, or the classes are "
            "one."
        )

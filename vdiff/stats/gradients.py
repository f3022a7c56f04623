"""Bias and variance of the training gradient under any time distribution, from gradients per slice.

The gradient of the negative ELBO is the mean over K equally likely slices of time of m_k, the mean
gradient in slice k with the ELBO's weight. A training that draws slice k with probability pi_k and
weighs it by omega_k against that has

    mean                    sum_k c_k m_k,          c_k = pi_k omega_k
    second moment           sum_k d_k S_k,          d_k = pi_k omega_k^2

per example, with S_k that of slice k alone. Where batches spread their times evenly, the variance
between slices is gone: sum_k d_k (S_k - ||m_k||^2). The unbiased law of least variance has pi_k in
proportion to the square root of S_k, or of S_k - ||m_k||^2.
"""

from dataclasses import dataclass

import numpy as np

from vdiff.stats.intervals import jackknife, leave_one_out
from vdiff.stats.tails import tail_of

BIAS_MARGIN = 0.1  # relative bias of the gradient: a tenth of each step goes elsewhere
STATISTICS = ("cosine", "relative_bias", "relative_variance", "spread_variance")


@dataclass(frozen=True)
class Law:
    """c, d: (K,) as above."""

    c: np.ndarray
    d: np.ndarray

    @classmethod
    def unbiased(cls, pi: np.ndarray) -> "Law":
        """Slice probabilities in proportion to pi (K,), with the ELBO's weights."""
        pi = pi / pi.sum()
        return cls(np.full(len(pi), 1 / len(pi)), 1 / (pi * len(pi) ** 2))


@dataclass(frozen=True)
class SliceGradients:
    """What was measured in R independent groups of `size` batches.

    gram: (R, K, R, K) products of the groups' mean gradients; squares: (R, size, K) squared norms
    of the batches' gradients.
    """

    gram: np.ndarray
    squares: np.ndarray
    batch_size: int

    def moments(self, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unbiased products of the m_k (K, K) and S_k (K,), of the groups kept (R,)."""
        gram = self.gram[keep][:, :, keep]
        n = keep.sum()
        same = np.einsum("rkrl->kl", gram)
        A = (gram.sum((0, 2)) - same) / (n * (n - 1))  # products of independent groups alone
        B, mean = self.batch_size, self.squares[keep].mean((0, 1))
        return A, B * mean - (B - 1) * A.diagonal()

    def of(self, law: Law) -> dict:
        """Columns of the schema gradient; NaN where noise drowns a gradient."""
        K = self.gram.shape[1]
        p = np.full(K, 1 / K)

        def statistics(keep: np.ndarray) -> np.ndarray:
            A, S = self.moments(keep)
            norm2, truth2 = law.c @ A @ law.c, p @ A @ p
            if norm2 <= 0 or truth2 <= 0:
                return np.full(len(STATISTICS), np.nan)
            cosine = law.c @ A @ p / (norm2 * truth2) ** 0.5
            independent = (law.d @ S - norm2) / norm2
            spread = law.d @ (S - A.diagonal()) / norm2
            return np.array([cosine, max(1 - cosine**2, 0) ** 0.5, independent, spread])

        R = len(self.gram)
        value = statistics(np.ones(R, bool))
        error = jackknife(leave_one_out(R, statistics))
        row = dict(zip(STATISTICS, value.tolist(), strict=True))
        errors = zip(STATISTICS, error.tolist(), strict=True)
        draws = (self.squares @ law.d).ravel()
        tail = tail_of(draws - draws.mean())
        return row | {f"{k}_std_err": e for k, e in errors} | vars(tail)

    def best(self, spread: bool = False) -> np.ndarray:
        """Slice probabilities of the unbiased law of least variance, (K,)."""
        A, S = self.moments(np.ones(len(self.gram), bool))
        left = S - A.diagonal() if spread else S
        root = np.sqrt(np.maximum(left, 1e-6 * left.max()))
        return root / root.sum()

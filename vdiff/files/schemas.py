"""The tables: their columns, in order, and what each means. results/README.md is made from here."""

WHO = {
    "experiment": "name of the experiment in the configuration",
    "arm": "name of the arm, such as debias-True",
    "debias": "True: times of the debiased law; False: uniform times",
    "seed": "of weights, data order and noise",
}
_ERRORS = {
    "std_err": "standard error of `difference` over all images",
    "se_mc": "its part from the noise of the estimator alone",
    "images": "test images in common",
}
_TAIL = {
    "k_hat": "tail of the draws behind the standard errors; above 0.5 do not believe them",
    "share": "of the variance in the largest draw; above 0.5 do not believe the standard errors",
}

SCHEMAS: dict[str, dict[str, str]] = {
    "train": {
        **WHO,
        "iteration": "optimiser steps so far; a row is a mean over the steps since the last row",
        "loss": "denoising score matching loss, nats per example",
        "train_bpd": "noisy unbiased bits/dim of the training batches",
    },
    "snapshots": {
        **WHO,
        "iteration": "optimiser steps so far",
        "shape": "of the data that the weights are for",
        "path": "the file of weights, relative to this table",
        "sha256": "its checksum",
    },
    "evaluation": {
        **WHO,
        "estimator": "`published` (the paper's) or `efficient`",
        "iteration": "optimiser steps so far",
        "examples": "training examples seen so far, repetitions counted",
        "bpd": "negative ELBO on the test set, mean over images",
        "bpd_std_err": "its standard error, test set and Monte Carlo together",
        "se_test": "its part from having this many images; unknown after one pass",
        "se_mc": "its part from the noise of the estimator; unknown after one pass",
        "images": "test images",
        "passes": "draws per image",
        "network_evaluations": "what it cost",
        **_TAIL,
    },
    "curves": {
        "experiment": WHO["experiment"],
        "arm": WHO["arm"],
        "debias": WHO["debias"],
        "estimator": "`published` or `efficient`",
        "iteration": "optimiser steps so far",
        "examples": "training examples seen so far, repetitions counted",
        "bpd": "mean over seeds",
        "se_test": "standard error over the test set (all seeds share the images)",
        "se_seeds": "standard deviation over seeds / sqrt(seeds)",
        "seeds": "number of seeds",
        "images": "test images",
        "doubtful": "whether a seed's standard error is not to be believed",
    },
    "differences": {
        "experiment": WHO["experiment"],
        "first": "an arm",
        "second": "the arm it is compared with",
        "seed": WHO["seed"],
        "estimator": "`published` or `efficient`",
        "iteration": "optimiser steps so far",
        "difference": "bpd of the first arm less that of the second, the same images and noise",
        **_ERRORS,
        **_TAIL,
        "log_sd_ratio": "log of the ratio of the standard deviations of one draw per image",
        "log_sd_ratio_std_err": "its jackknife standard error",
    },
    "samples": {
        **WHO,
        "sampler": "the solver",
        "lmbd": "member of the λ family",
        "steps": "steps of the solver",
        "images": "how many were sampled",
        "pixels_below": "pixels below the range, which the grid clips",
        "pixels_above": "pixels above the range, which the grid clips",
    },
    "quality": {
        **WHO,
        "space": "`classes` or `turns` (learned), `random`, `texture`, `components`, `pixels`",
        "measure": "of stats/quality.py; `sliced_wasserstein`",
        "value": "0 is best of kernel, classifier, sliced_wasserstein and copies; 1 of the others",
        "std_err": "its standard error over samples and real images",
        "samples": "how many were sampled",
        "real": "how many test images they are compared with",
    },
    "trajectory": {
        **WHO,
        "lmbd": "member of the λ family",
        "step": "the state after that step",
        "samples": "number of points",
        "outside": "points outside the histogram",
        "mean_x": "mean of the first coordinate",
        "mean_y": "mean of the second",
        "var_x": "variance of the first coordinate",
        "var_y": "variance of the second",
    },
    "likelihood": {
        **WHO,
        "iteration": "optimiser steps so far",
        "images": "the first test images",
        "bpd_ode": "exact likelihood of the probability-flow ODE",
        "bpd_ode_std_err": "its standard error over images",
        "bpd_elbo": "negative ELBO of the same images",
        "bpd_elbo_std_err": "its standard error over images",
        "gap": "negative ELBO less exact value, paired by image",
        "gap_std_err": "its standard error over images",
        "trace": "`exact`, or `hutchinson` with one probe per image",
        "tolerance": "of the solver",
        "change": "mean absolute change in bits/dim when the tolerance is ten times as loose",
        "evaluations": "of the network's trace, by the solver, over all batches",
        **_TAIL,
    },
    "variance_time": {
        **WHO,
        "estimator": "`published` or `efficient`",
        "time_low": "lower end of a bin of the time that the estimator drew",
        "time_high": "its upper end",
        "draws": "how many fell in it",
        "variance": "its part of the variance of one draw, (bits/dim)²; all bins add up",
        "variance_std_err": "its standard error",
        **_TAIL,
    },
    "gradient": {
        **WHO,
        "iteration": "optimiser steps so far",
        "law": "`uniform`, `uniform_weighted`, `debiased` or `fitted` times; `best`: of the least "
        "variance without bias",
        "batches": "batches measured, over all slices of time",
        "batch_size": "examples per batch",
        "cosine": "of the mean gradient with the gradient of the ELBO",
        "cosine_std_err": "its jackknife standard error",
        "relative_bias": "what of the ELBO's gradient is missing at the best scale",
        "relative_bias_std_err": "its jackknife standard error",
        "relative_variance": "E‖gradient of an example - mean‖² / ‖mean‖², independent times",
        "relative_variance_std_err": "its jackknife standard error",
        "spread_variance": "the same where a batch's times are evenly spread",
        "spread_variance_std_err": "its jackknife standard error",
        **_TAIL,
    },
    "distances": {
        **WHO,
        "source": "`exact`: a mixture of Gaussians with its true drift; `learned`: the network",
        "sampler": "the solver",
        "lmbd": "member of the λ family",
        "steps": "steps of the solver",
        "reference": "compared with the data, or with independent samples of λ = 0",
        "metric": "`energy`: squared, unbiased; `sliced_wasserstein`: W2 over directions",
        "distance": "in units of the data",
        "low": "lower end of the bootstrap 95% interval",
        "high": "its upper end",
        "p_value": "permutation test of equal laws",
        "null_mean": "mean distance of equal laws at this number of samples",
        "samples": "points per sample",
    },
    "forms": {
        **WHO,
        "iteration": "optimiser steps so far",
        "form": "of score matching: `denoising`, `implicit`, `sliced` or `explicit`",
        "value": "its loss with its constant, nats per dimension",
        "std_err": "its standard error",
        "excess": "over the denoising form, of the same draws, bits/dim",
        "excess_std_err": "its standard error",
        "variance": "of one draw, (nats per dimension)²",
        "passes": "what a draw costs, in forward passes",
        "draws": "how many",
    },
    "theory": {
        **WHO,
        "source": "`exact`: a mixture of Gaussians; `learned`: the network",
        "statement": "which identity (vdiff/steps/theory.py)",
        "setting": "the drift's error c, λ, or number of layers L",
        "measured": "its measured side, nats (a ratio for feynman_kac, a slope for layers_slope)",
        "std_err": "standard error of measured less expected",
        "expected": "what theory says",
    },
    "claims": {
        "claim": "the claim",
        "where": "its place in the paper",
        "experiment": WHO["experiment"],
        "published": "the published value",
        "ours": "what was measured",
        "low": "lower end of its 95% interval",
        "high": "its upper end",
        "unit": "of what was measured",
        "finds": "smallest effect that the test finds with 80% power, in the same unit",
        "effect": "what it must find: the published effect, or the margin",
        "p_true": 'uncorrected p-value against "not so"',
        "p_false": 'uncorrected p-value against "not the opposite"',
        "verdict": "after Holm's correction over all claims that are tested",
        "why": "the test behind it",
    },
    "comparison": {
        **WHO,
        "estimator": "`published` or `efficient`",
        "iteration": "optimiser steps so far",
        "difference": "of `vdiff compare`: first folder less second, bits/dim",
        **_ERRORS,
        **_TAIL,
    },
}

TEXT = {
    "experiment", "arm", "first", "second", "estimator", "shape", "path", "sha256", "sampler",
    "source", "reference", "metric", "trace", "law", "claim", "where", "published", "unit",
    "verdict", "why", "statement", "form", "space", "measure",
}  # fmt: skip
"""Columns of words; all others hold numbers, or True and False."""

GATHERED = [name for name in SCHEMAS if name not in ("snapshots", "curves", "claims", "comparison")]
"""Tables of single runs, which the pipeline gathers into one of the same name."""


def reference() -> str:
    """All columns as a Markdown table."""
    lines = ["| table | column | meaning |", "|---|---|---|"]
    for name, columns in SCHEMAS.items():
        own = columns if name == "train" else {k: v for k, v in columns.items() if k not in WHO}
        for k, (column, meaning) in enumerate(own.items()):
            lines.append(f"| {f'`{name}`' if k == 0 else ''} | `{column}` | {meaning} |")
    return "\n".join(lines) + "\n"

"""The tables: their columns, in order, and what each means. Those of
steps are in `config/specs/`. results/README.md is made from here."""

from vdiff.config.specs import SPECS
from vdiff.config.specs.spec import TAIL

WHO = {
    "experiment": "name of the experiment in the configuration",
    "arm": "name of the arm, such as debias-True",
    "debias": "True: debiased training times; False: uniform ones",
    "seed": "of weights, data order and noise",
}
_ERRORS = {
    "std_err": "standard error of `difference` over all images",
    "se_mc": "its part from the noise of the estimator alone",
    "images": "test images in common",
}

_OWN: dict[str, dict[str, str]] = {
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
        "train_data": "checksum of the training images, empty for points drawn afresh",
        "test_data": "checksum of the test images",
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
        "doubtful": "whether a seed's standard error is unreliable",
    },
    "differences": {
        "experiment": WHO["experiment"],
        "first": "an arm",
        "second": "the arm it is compared with",
        "seed": WHO["seed"],
        "estimator": "`published` or `efficient`",
        "iteration": "optimiser steps so far",
        "difference": "bpd of the first arm minus that of the second, the same images and noise",
        **_ERRORS,
        **TAIL,
        "log_sd_ratio": "log of the ratio of the standard deviations of one draw per image",
        "log_sd_ratio_std_err": "its jackknife standard error",
    },
    "claims": {
        "name": "of the claim, for programs",
        "claim": "the claim",
        "short": "the same in a few words",
        "question": "of the page, to which it belongs",
        "where": "its place in the paper",
        "figure": "the figure that shows its test",
        "experiment": WHO["experiment"],
        "published": "the published value",
        "theorem": "whether it is a theorem",
        "drift": "`exact` (known in closed form) or `learned`",
        "ours": "what was measured",
        "low": "lower end of its 95% interval, empty where none covers",
        "high": "its upper end",
        "change": "of that over the last doubling of training, where its course is followed",
        "change_low": "lower end of its 95% interval",
        "change_high": "its upper end",
        "unit": "of what was measured",
        "finds": "smallest effect that the test finds with 80% power, in the same unit",
        "effect": "what it must find: the published effect, or the margin",
        "margin": "what the margin is: a tenth of the published effect, or its own",
        "p_true": 'uncorrected p-value against "not so"',
        "p_false": 'uncorrected p-value against "not the opposite"',
        "verdict": "after Holm's correction over all claims that are tested",
        "why": "the test behind it",
    },
    "controls": {
        "fault": "what was made wrong on purpose",
        "name": "of the claim whose test must reject it",
        "claim": "the claim",
        "experiment": WHO["experiment"],
        "ours": "what the test then measures, its worst part",
        "low": "lower end of its 95% interval",
        "high": "its upper end",
        "unit": "of what is measured",
        "rejected": "whether the test says that the claim does not hold, corrected for all",
        "power": "probability of that, were the fault as large as it was measured",
    },
    "scores": {
        "model": "that gives the score",
        "file": "of the example",
        "example": "its number there, from 0",
        "log_prob": "by elbo a bound on its log probability, by ode that of the ODE, nats; of real "
        "vectors a log density",
        "std_err": "its Monte-Carlo standard error",
        "bpd": "the same in bits/dim",
        "bpd_std_err": "its standard error",
    },
    "comparison": {
        **WHO,
        "estimator": "`published` or `efficient`",
        "iteration": "optimiser steps so far",
        "difference": "of `vdiff compare`: first folder minus second, bits/dim",
        **_ERRORS,
        **TAIL,
    },
}

SCHEMAS = _OWN | {
    output.schema: {**WHO, **output.columns}
    for spec in SPECS.values()
    for output in spec.outputs
    if output.schema
}

TEXT = {
    "experiment", "arm", "first", "second", "estimator", "shape", "path", "sha256", "sampler",
    "train_data", "test_data",
    "source", "trace", "law", "claim", "short", "question", "where", "published", "unit",
    "drift", "margin",
    "verdict", "why", "name", "figure", "statement", "form", "space", "measure", "fault",
    "file", "model",
}  # fmt: skip
"""Columns of words; all others hold numbers, or True and False."""

_ALONE = ("snapshots", "curves", "claims", "controls", "scores", "comparison")
GATHERED = [name for name in SCHEMAS if name not in _ALONE]
"""Tables of single runs, which the pipeline gathers into one of the same name."""


def reference() -> str:
    """All columns as a Markdown table."""
    lines = ["| table | column | meaning |", "|---|---|---|"]
    for name, columns in SCHEMAS.items():
        own = columns if name == "train" else {k: v for k, v in columns.items() if k not in WHO}
        for k, (column, meaning) in enumerate(own.items()):
            lines.append(f"| {f'`{name}`' if k == 0 else ''} | `{column}` | {meaning} |")
    return "\n".join(lines) + "\n"

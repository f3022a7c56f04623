"""What the page asks, in the paper's order: each question in plain words, with its claims and
figures by their names."""

from typing import NamedTuple


class Question(NamedTuple):
    """slug: of its address in the page; text: one or two sentences that say what is at stake."""

    slug: str
    title: str
    text: str
    claims: tuple[str, ...]
    figures: tuple[str, ...]


QUESTIONS = (
    Question(
        "matching",
        "Is score matching the bound?",
        "Diffusion models are trained by score matching, and judged by likelihood. The paper shows "
        "that the two are one: weighted in time by g²/σ², the loss is, up to a constant, a bound "
        "on the likelihood, in each of its forms (explicit, implicit, sliced, denoising).",
        ("matching_is_the_bound", "forms_agree"),
        ("forms", "loss"),
    ),
    Question(
        "tight",
        "How tight is the bound?",
        "It misses the log likelihood by half the integrated squared error of the drift, so by "
        "nothing at the true drift. The density is an expectation over paths (Feynman-Kac), and "
        "the bound is that of a hierarchical VAE with infinitely many layers. All of this is "
        "checked where the truth is known, on a mixture of Gaussians.",
        ("gap", "feynman_kac", "layers_slope", "flow", "lmbd_bound"),
        ("theory", "likelihood"),
    ),
    Question(
        "debias",
        "Does debiasing lower the bits/dim?",
        "The usual loss draws times uniformly, which is not the weighting of the bound. Drawing "
        "them with that weighting (“debias True”) trains the bound itself.",
        ("lower_bpd",),
        ("bpd", "differences", "gap", "examples", "published-curves"),
    ),
    Question(
        "gradient",
        "Do uniform times bias the gradient?",
        "Does each training step go in the direction that improves the bound, or in another?",
        ("biased_gradient", "unbiased_gradient"),
        ("gradient-bias", "variance"),
    ),
    Question(
        "error",
        "Does debiasing make the likelihood noisier to measure?",
        "The published curves of debiased nets have wider bands. Is that more than chance?",
        ("higher_error",),
        ("standard-error",),
    ),
    Question(
        "family",
        "Does every λ sample the same distribution?",
        "One net drives a whole family of samplers: λ = 0 is the reverse SDE, λ = 1 the "
        "probability-flow ODE, and below 0 there is more noise still. With the true drift they "
        "all have the same marginals.",
        ("same_law", "same_density"),
        ("lambda-grid", "lambda-strips", "lambda", "distances"),
    ),
    Question(
        "samples",
        "Are the samples better?",
        "Samples with lower bits/dim need not look better. Here they are compared with test "
        "images in features learned on the same data.",
        ("better_samples",),
        ("samples", "sampling", "quality", "quality-course"),
    ),
)

WORDS = {
    "arm": "one way to train; the paper compares two, debias True and debias False",
    "debias": "True: training times are drawn with a density proportional to g²/σ², so that the "
    "loss is the bound; False: they are drawn uniformly, as is usual",
    "bits/dim": "negative log likelihood in bits, per pixel and channel (or coordinate); lower is "
    "better",
    "λ": "which member of the family of samplers is used: the share of noise that it leaves out",
    "efficient": "our estimator of the same bound: 30 to 3,000 times less noise for the same time "
    "than the paper's (“published”)",
    "drift": "a, which is g times the score: what the network learns",
}
"""Words that a reader of the paper may not know, explained on top of the page."""

SHORT = {
    "matching_is_the_bound": "Score matching is the bound",
    "forms_agree": "All forms of score matching agree",
    "gap": "The bound's gap is the drift's error",
    "feynman_kac": "The density is a Feynman-Kac expectation",
    "layers_slope": "It is an infinitely deep VAE",
    "flow": "λ = 1 is a normalising flow",
    "lmbd_bound": "Every λ has its bound, best at 0",
    "lower_bpd": "Debiasing lowers the bits/dim",
    "biased_gradient": "Uniform times bias the gradient",
    "unbiased_gradient": "Debiased times do not",
    "higher_error": "Debiasing raises the standard error",
    "same_law": "Every λ samples the same",
    "same_density": "Every λ has the data's log density",
    "better_samples": "Debiased samples are better",
}
"""Claims in a few words, for the matrix."""

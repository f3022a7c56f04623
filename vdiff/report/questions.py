"""What the page asks, in the paper's order: each question in plain words, with its
figures by their names. A claim names its question (`Claim` in stats/evidence.py)."""

from typing import NamedTuple


class Question(NamedTuple):
    """slug: of its address in the page; text: one or two sentences that say what is at stake."""

    slug: str
    title: str
    text: str
    figures: tuple[str, ...]


QUESTIONS = (
    Question(
        "matching",
        "Is score matching the bound?",
        "Diffusion models are trained by score matching, and judged by likelihood. The paper shows "
        "that the two are one: weighted in time by g²/σ², the loss is, up to a constant, a bound "
        "on the likelihood, in each of its forms (explicit, implicit, sliced, denoising).",
        ("forms", "loss"),
    ),
    Question(
        "tight",
        "How tight is the bound?",
        "It misses the log likelihood by half the integrated squared error of the drift, so by "
        "nothing at the true drift. The density is an expectation over paths (Feynman-Kac), and "
        "the bound is that of a hierarchical VAE with infinitely many layers. All of this is "
        "checked where the truth is known, on a mixture of Gaussians.",
        ("theory", "likelihood"),
    ),
    Question(
        "pairs",
        "What is the bound of other generative SDEs?",
        "Score matching trains the plug-in reverse SDE, whose inference is a fixed forward SDE. "
        "The bound is more general: the drift of the model and that of its inference can both be "
        "learned, and without noise the model is a neural ODE.",
        ("inference",),
    ),
    Question(
        "debias",
        "Does debiasing lower the bits/dim?",
        "The usual loss draws times uniformly, which is not the weighting of the bound. Drawing "
        "them with that weighting (“debias True”) trains the bound itself.",
        ("headline", "bpd", "differences", "gap", "examples", "published-curves"),
    ),
    Question(
        "gradient",
        "Do uniform times bias the gradient?",
        "Does each training step go in the direction that improves the bound, or in another?",
        ("gradient-bias", "variance"),
    ),
    Question(
        "error",
        "Does debiasing make the likelihood noisier to measure?",
        "The published curves of debiased nets have wider bands. Is that more than chance?",
        ("standard-error",),
    ),
    Question(
        "family",
        "Does every λ sample the same distribution?",
        "One net drives a whole family of samplers: λ = 0 is the reverse SDE, λ = 1 the "
        "probability-flow ODE, and below 0 there is more noise still. With the true drift they "
        "all have the same marginals.",
        ("lambda-grid", "lambda-strips", "lambda", "distances"),
    ),
    Question(
        "samples",
        "Are the samples better?",
        "Samples with lower bits/dim need not look better. Here they are compared with test "
        "images in features learned on the same data.",
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

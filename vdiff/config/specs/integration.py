"""How the reverse SDE is solved: keys that several steps have."""

from vdiff.config.fields import Grid, Positive, Sampler, Strict, key


class Integration(Strict):
    """How the reverse SDE is solved; the defaults are the paper's."""

    sampler: Sampler = key("euler_maruyama", "The solver.")
    grid: Grid = key("uniform", "The grid of times.")
    steps: Positive = key(1000, "Steps of the solver.")
    frames: int = key(0, "Intermediate pictures, for an animation; 0 for none.", ge=0)

"""The quality of many samples, drawn by a fast sampler, in features learned on the same data."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from vdiff.config import Quality
from vdiff.errors import VdiffError
from vdiff.machine.seeds import generator
from vdiff.nets.features import TURNS, Classifier, features, labelled, learn, turned
from vdiff.stats import quality
from vdiff.stats.distances import sliced_wasserstein
from vdiff.stats.intervals import error_of
from vdiff.steps import Measured
from vdiff.steps.sample import sample_images
from vdiff.trained import Trained

COMPONENTS = 32  # principal
LEARNED = ("classes", "turns")
SCALED = 2000  # training images whose features are the unit
LEAST = 20  # images: five folds of a classifier, five nearest neighbours


Space = Callable[[Tensor], np.ndarray]
"""Images (N, C, H, W) uint8 to features (N, d)."""


def spaces(
    train: Tensor, labels: Tensor | None, levels: int, settings: Quality
) -> dict[str, Space]:
    """Name to feature map, the learned one first: classes of labels, or turns without them.

    The same for every arm, for it depends on data and settings alone; its unit, too, is of training
    images (`scaling`).
    """
    rng = generator("features")
    flat = _flat(train[:10_000], levels)
    components = PCA(min(COMPONENTS, *flat.shape), random_state=0).fit(flat)
    channels = train.shape[1]
    plain = Classifier(channels, TURNS, generator("random features")).requires_grad_(False)
    if labels is None:
        learned, classes, batch = "turns", TURNS, turned(train, levels)
    else:
        learned, classes = "classes", int(labels.max()) + 1
        batch = labelled(train, labels, levels)
    net = learn(Classifier(channels, classes, rng), batch, settings.feature_steps, rng)
    unscaled: dict[str, Space] = {
        learned: lambda x: features(net, x, levels).numpy(),
        "random": lambda x: features(plain, x, levels).numpy(),
        "texture": lambda x: texture(x.numpy().astype(np.float32) / (levels - 1)),
        "components": lambda x: components.transform(_flat(x, levels)),
        "pixels": lambda x: _flat(x, levels),
    }
    chosen = torch.randperm(len(train), generator=generator("scale of features"))[:SCALED]
    return {
        name: _scaled(space, train[chosen], name != "pixels") for name, space in unscaled.items()
    }


def _scaled(space: Space, some: Tensor, each: bool) -> Space:
    scale = quality.scaling(space(some), each)
    return lambda x: scale(space(x))


def _flat(x: Tensor, levels: int) -> np.ndarray:
    return x.flatten(1).numpy().astype(np.float32) / (levels - 1)


def texture(x: np.ndarray) -> np.ndarray:
    """What noise and blur change, x (N, C, H, W) in [0, 1] to (N, 9): mean and deviation, shares
    of black, white and of neighbours alike, and sizes of the steps between neighbours."""
    axes = (1, 2, 3)
    steps = [np.abs(np.diff(x, axis=k)) for k in (2, 3)]
    moments = [x.mean(axes), x.std(axes), (x == 0).mean(axes), (x == 1).mean(axes)]
    moments.append(np.mean([(d == 0).mean(axes) for d in steps], 0))
    moments += [f(d) for d in steps for f in (lambda d: d.mean(axes), lambda d: d.std(axes))]
    return np.stack(moments, 1)


def measures(
    x: np.ndarray, y: np.ndarray, name: str, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Measure to (value, standard error) of samples' features x and real ones y in a space."""
    n = min(len(x), len(y))
    by_measure = {"kernel": quality.kernel_distance(x, y)}
    sliced = sliced_wasserstein(x[:n], y[:n], rng, 1, 99)
    by_measure["sliced_wasserstein"] = (sliced.distance, error_of(sliced.low, sliced.high))
    by_measure["classifier"] = quality.classifier(x, y, rng)
    if name != "pixels":
        by_measure |= quality.neighbours(x, y)
    return by_measure


def measure(model: Trained, settings: Quality) -> Measured:
    """Rows of the schema quality, and the features of samples and test images for other tests."""
    train, levels, labels = model.data.train_examples(), model.data.levels, model.data.labels()
    test = model.data.test_examples(settings.real)
    for name, images in (("training", train), ("test", test)):
        if len(images) < LEAST:
            raise VdiffError(
                f"The step quality needs at least {LEAST} {name} images; {model.run.dataset} has "
                f"{len(images)}."
            )
        if (images == images[0]).all():
            raise VdiffError(f"All {name} images of {model.run.dataset} are equal.")
    rng = np.random.default_rng(model.run.seed)
    some = train[rng.permutation(len(train))[: settings.count]]
    maps = spaces(train, labels and labels[0], levels, settings)
    of_test = {name: space(test) for name, space in maps.items()}
    of_real = {
        name: quality.kernel_distance(space(some), of_test[name]) for name, space in maps.items()
    }
    of_train = maps["pixels"](train)
    rows = []
    iterations = [snapshot.iteration for snapshot in model.snapshots]
    for k in halvings(iterations, settings.checkpoints):  # the last one last
        snapshot = model.snapshots[k]
        sampled = sample_images(model, model.drift(snapshot), settings)
        arrays = {"samples": sampled.images[:64], "levels": levels}
        samples = torch.from_numpy(sampled.images)
        for name, space in maps.items():
            x, y = space(samples), of_test[name]
            values = measures(x, y, name, rng)
            values["kernel_of_real"] = of_real[name]
            if name == "pixels":
                values["copies"] = quality.copies(x, y, of_train)
            elif name in LEARNED:
                arrays |= {"features": x, "features_of_real": y}
            at = {"iteration": snapshot.iteration, "space": name}
            for measured, (value, error) in values.items():
                rows.append({**at, "measure": measured, "value": value, "std_err": error})
    sizes = {"samples": len(samples), "real": len(test)}
    return Measured({"out": [{**row, **sizes} for row in rows], "features": arrays})


def halvings(iterations: Sequence[int], checkpoints: int) -> list[int]:
    """Indices of the snapshots nearest to the last one's iterations, half of them, and so on."""
    steps = np.array(iterations)
    wanted = [steps[-1] / 2**k for k in range(checkpoints)]
    return sorted({int(np.abs(steps - w).argmin()) for w in wanted})


def cost(settings: Quality, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    return min(settings.checkpoints, snapshots) * settings.count * settings.steps

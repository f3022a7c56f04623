"""Grids of images sampled from a trained network."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Sampling
from vdiff.diffusion.drift import Drift
from vdiff.likelihood.sample import sample
from vdiff.machine.progress import bar
from vdiff.steps import Measured
from vdiff.steps.integrate import frame_steps
from vdiff.trained import Trained


@dataclass(frozen=True)
class SampledImages:
    """images (count, C, H, W) uint8 in 0..levels-1; frames (F, count, C, H, W) on the way there;
    below, above: how many pixels of the images lay outside [0, 1] and were clipped.
    """

    images: np.ndarray
    frames: np.ndarray
    below: int
    above: int


def sample_images(model: Trained, a: Drift, settings: Sampling) -> SampledImages:
    """Sample k has its own streams of noise, so it depends on no other and on no batch size."""
    space, frames = model.data.space, frame_steps(settings)
    starts = range(0, settings.count, settings.batch_size)
    parts: list[tuple[Tensor, list[Tensor]]] = []
    with bar(settings.steps * len(starts), f"sample {model.run.label}") as progress:
        for start in starts:
            index = range(start, min(start + settings.batch_size, settings.count))
            kept: list[Tensor] = []

            def see(i: int, x: Tensor, kept: list[Tensor] = kept) -> None:
                progress.update()
                if i in frames:
                    kept.append(space.of_vectors(x))

            x = sample(
                model.sde, a, space.shape, index, settings, settings.lmbd, model.run.seed,
                model.device, see,
            )  # fmt: skip
            parts.append((space.unit(x), kept))
    x = torch.cat([x for x, _ in parts])
    film = [torch.cat(pictures) for pictures in zip(*(kept for _, kept in parts), strict=True)]
    return SampledImages(
        space.grey(x).cpu().numpy(),
        torch.stack(film).cpu().numpy() if film else np.zeros((0, *x.shape), np.uint8),
        int((x < 0).sum()),
        int((x > 1).sum()),
    )


def measure(model: Trained, settings: Sampling) -> Measured:
    """Images of the last snapshot beside as many test images, and how many pixels were clipped."""
    sampled = sample_images(model, model.drift(), settings)
    arrays = {
        "samples": sampled.images,
        "test": model.data.test_examples(settings.count).numpy(),
        "levels": model.data.levels,
        "frames": sampled.frames,
        "steps": frame_steps(settings),
    }
    row = {
        "sampler": settings.sampler,
        "lmbd": settings.lmbd,
        "steps": settings.steps,
        "images": settings.count,
        "pixels_below": sampled.below,
        "pixels_above": sampled.above,
    }
    clipped, size = sampled.below + sampled.above, sampled.images.size
    message = f"{clipped} of {size} sampled pixels lie outside the range and are clipped."
    return Measured({"out": arrays, "table": [row]}, message)


def cost(settings: Sampling, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    return settings.count * settings.steps

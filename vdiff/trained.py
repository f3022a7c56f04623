"""A run with its data, its SDE, its network and the device it is on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vdiff.diffusion.drift import Drift, mirrored
from vdiff.diffusion.levels import Groups, level_drift
from vdiff.diffusion.predictions import drift_of
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes import sde_of
from vdiff.errors import VdiffError
from vdiff.files.weights import Snapshot, shape_name
from vdiff.machine.captured import Passes
from vdiff.machine.devices import host_of, place
from vdiff.machine.seeds import generator
from vdiff.nets.mlp import MLP
from vdiff.nets.unet import UNet

if TYPE_CHECKING:
    from vdiff.config import Run
    from vdiff.config.sections import Network
    from vdiff.data import Data


def sde_of_run(run: "Run") -> SDE:
    return sde_of(**{name: value for name, value in vars(run.sde).items() if name != "eps_t"})


def _further(n: "Network") -> int:
    """Channels beside each of the image's, in and out."""
    return n.level_groups if n.parameterisation == "levels" else 0


def input_shape(run: "Run", shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of one example as the network sees it."""
    return (shape[0] * (1 + _further(run.network)), *shape[1:])


def network_of(run: "Run", shape: tuple[int, ...]) -> nn.Module:
    """The run's network for data of that shape; raises VdiffError when they do not fit."""
    n, rng = run.network, generator("init", run.seed)
    if n.kind == "mlp":
        if len(shape) != 1:
            raise VdiffError(
                f"network.kind is mlp, which takes points, but {run.dataset} has images."
            )
        return MLP(shape[0], rng, tuple(n.hidden))
    factor = 2 ** (len(n.multipliers) - 1)
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % factor:
        raise VdiffError(
            f"network.kind is unet with {len(n.multipliers)} levels, for square images of a side "
            f"divisible by {factor}, but {run.dataset} has shape {tuple(shape)}."
        )
    return UNet(
        (shape[0], shape[1], shape[2]),
        rng,
        n.channels,
        tuple(n.multipliers),
        n.blocks,
        tuple(n.attention),
        n.time_scale,
        n.groups,
        tuple(n.fourier or ()),
        n.linear,
        _further(n),
        n.scale_shift,
    )


def drift_from(
    network: Drift, run: "Run", level_counts: Callable[[], Tensor], device: str = "cpu"
) -> Drift:
    """The drift a of what the run's network outputs, which is trained; level_counts: of the
    training images' grey levels, for the parameterisation levels.

    Raises VdiffError when there are too few levels for that.
    """
    n, sde = run.network, sde_of_run(run)
    if n.parameterisation != "levels":
        return drift_of(network, sde, n.parameterisation)
    groups = Groups.of(level_counts(), n.level_groups, run.training.real, device)
    return level_drift(network, sde, groups)


def final(trained: Drift, run: "Run") -> Drift:
    """The run's drift after training, of the one that is trained."""
    return mirrored(trained) if run.network.mirrored else trained


@dataclass
class Trained:
    """What every step after training works on; snapshots are in the order of training."""

    run: "Run"
    data: "Data"
    device: str = "cpu"
    snapshots: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sde = sde_of_run(self.run)
        network = network_of(self.run, self.data.shape)
        self.network = place(network, self.device).eval().requires_grad_(False)
        self.device = host_of(self.device)
        trained = drift_from(self.network, self.run, self.data.level_counts, self.device)
        if self.run.training.compile == "graph":
            trained = Passes(trained, self.network)
        self._in_training, self._drift = trained, final(trained, self.run)

    @property
    def eps_t(self) -> float:
        return self.run.sde.eps_t

    @property
    def dims(self) -> int:
        """The number of dimensions d of the data."""
        return torch.Size(self.data.shape).numel()

    def drift(self, snapshot: Snapshot | None = None, in_training: bool = False) -> Drift:
        """The drift a of one snapshot, by default the last; it lives on the device. in_training:
        as the loss sees it, which differs where `network.mirrored` is set.

        All drifts of a run share its network: the newest call decides the weights. Raises
        VdiffError when the weights do not fit the run.
        """
        snapshot = snapshot or self.snapshots[-1]
        if snapshot.shape != shape_name(self.data.shape):
            raise VdiffError(
                f"{snapshot.path} was trained on data of shape {snapshot.shape}, but "
                f"{self.run.dataset} has shape {shape_name(self.data.shape)}."
            )
        a = self.drift_with(snapshot.weights(), str(snapshot.path))
        return self._in_training if in_training else a

    def drift_with(self, weights: dict[str, torch.Tensor], name: str = "The weights") -> Drift:
        """The drift a with weights given as a state_dict."""
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise VdiffError(
                f"{name} does not fit the network for {self.run.dataset} of shape "
                f"{self.data.shape}: {detail}"
            ) from None
        return self._drift

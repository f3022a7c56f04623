"""The names that the authors' code has for the U-Net's parameters, and its weights as ours.

| ours | theirs |
|---|---|
| time1, time2 | temb_net.main.0, temb_net.main.2 |
| begin; norm, end | begin_conv; end_conv.0, end_conv.2 |
| down.I.J.0, down.I.J.1 | down_modules.I.Ia_Ja_block, down_modules.I.Ia_Jb_attn |
| down.I.BLOCKS | down_modules.I.Ib_downsample |
| middle.K | mid_modules.K |
| up.U.J.0, up.U.J.1 | up_modules.U.Ia_Ja_block, up_modules.U.Ia_Jb_attn with I = LEVELS - 1 - U |
| up.U.BLOCKS+1 | up_modules.U.Ib_upsample.up_conv |
| in a block: time, norm1, conv1, norm2, conv2, shortcut | temb_proj, the rest alike |
| in attention: norm, q, k, v, out | norm, attn_q, attn_k, attn_v, proj_out |
"""

from typing import cast

from torch import Tensor, nn

from vdiff.errors import VdiffError
from vdiff.nets.unet import ResidualBlock, SelfAttention, UNet

_BLOCK = {"time": "temb_proj"}
_ATTENTION = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "out": "proj_out"}


def names_of_authors(net: UNet) -> dict[str, str]:
    """Our name of every parameter to the authors' one, in our order."""
    modules = {
        "time1": "temb_net.main.0",
        "time2": "temb_net.main.2",
        "begin": "begin_conv",
        "norm": "end_conv.0",
        "end": "end_conv.2",
    }
    levels = len(net.down)
    for side, stages in (("down", net.down), ("up", net.up)):
        for i, stage in enumerate(stages):
            level = i if side == "down" else levels - 1 - i
            for j, module in enumerate(cast(nn.ModuleList, stage)):
                theirs = f"{side}_modules.{i}.{level}"
                if isinstance(module, nn.Conv2d):
                    modules[f"{side}.{i}.{j}"] = f"{theirs}b_" + (
                        "downsample" if side == "down" else "upsample.up_conv"
                    )
                else:
                    modules[f"{side}.{i}.{j}.0"] = f"{theirs}a_{j}a_block"
                    modules[f"{side}.{i}.{j}.1"] = f"{theirs}a_{j}b_attn"
    modules |= {f"middle.{k}": f"mid_modules.{k}" for k in range(len(net.middle))}

    names = {}
    for ours in net.state_dict():
        owner, leaf = ours.rsplit(".", 1)  # leaf: weight or bias
        if owner in modules:
            names[ours] = f"{modules[owner]}.{leaf}"
        else:
            owner, part = owner.rsplit(".", 1)
            inside = {ResidualBlock: _BLOCK, SelfAttention: _ATTENTION}[
                type(net.get_submodule(owner))
            ]
            names[ours] = f"{modules[owner]}.{inside.get(part, part)}.{leaf}"
    return names


def horizon_of(theirs: dict[str, Tensor], T: float) -> float:
    """The horizon T that the authors' reverse SDE keeps with its weights; the one given
    where they are of the U-Net alone. Raises VdiffError when they hold two."""
    held = {
        float(v) for name, value in theirs.items() if name.rsplit(".", 1)[-1] == "T"
        for v in value.flatten().tolist()
    }  # fmt: skip
    if len(held) > 1:
        raise VdiffError(f"The weights hold several horizons T: {sorted(held)}.")
    return held.pop() if held else T


def from_authors(net: UNet, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' weights as a state_dict of `net`.

    theirs may be of the U-Net alone or of the whole reverse SDE, whose drift is called a and
    whose horizons T are no weights. Raises VdiffError naming the first parameter that is
    missing, left over or of another shape.
    """
    given = {
        name.removeprefix("a."): value
        for name, value in theirs.items()
        if name.rsplit(".", 1)[-1] != "T"
    }
    weights = {}
    for (ours, name), own in zip(
        names_of_authors(net).items(), net.state_dict().values(), strict=True
    ):
        if name not in given:
            raise VdiffError(f"The weights lack {name}, which this network needs.")
        value = given.pop(name)
        if value.shape != own.shape:
            raise VdiffError(
                f"The weights have {name} of shape {tuple(value.shape)}; this network needs "
                f"{tuple(own.shape)}."
            )
        weights[ours] = value.to(own.dtype)
    if given:
        raise VdiffError(f"The weights hold {min(given)}, which this network has no place for.")
    return weights

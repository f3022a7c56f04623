"""What a bound is and what debiasing is, in one drawing: docs/drawing.png, and one for dark pages.

python docs/drawing.py

Left, in closed form but for an integral over time: data N(0, v) of one dimension, and the drift
a(y, s) = -c g(s) y / D(s) with D = m^2 v + sigma^2, which is the true one at c = 1.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.times import Debiased, TimeLaw, Uniform
from vdiff.figures import style

SDE, V = VPSDE(), 0.2
LAWS: dict[str, TimeLaw] = {"debias-True": Debiased(SDE), "debias-False": Uniform(SDE.T)}
TIMES = torch.cat([torch.zeros(1), torch.logspace(-6, 0, 4001)]).double()
INK, FAINT = {False: "#1d2127", True: "#e6e8eb"}, "#8a929e"


def likelihood(c: float) -> tuple[float, float]:
    """(E log p, its bound) in nats, of the plug-in reverse SDE with c times the true drift."""
    s, g2, log = TIMES, SDE.g2(TIMES), np.log(2 * np.pi)
    D = SDE.m(s).square() * V + SDE.var(s)
    k = c / D
    # Backwards in time V' = (1 - 2 k) g^2 V + g^2 from 1; Y has variance D.
    grown = torch.cumulative_trapezoid(g2 * (1 - 2 * k), s).exp()
    grown = torch.cat([torch.ones(1).double(), grown])
    variance = grown[-1] + torch.trapezoid(g2 * grown, s)
    exact = -(log + variance.log() + V / variance) / 2
    integrand = g2 * (k.square() * D / 2 - k + 1 / 2)
    return exact.item(), (-(log + D[-1]) / 2 - torch.trapezoid(integrand, s)).item()


def draw(dark: bool, out: Path) -> None:
    with style.paper(dark):
        figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.5))
        c = np.linspace(0.4, 1.6, 61)
        exact, bound = np.transpose([likelihood(float(v)) for v in c])
        left.plot(c, exact, color=FAINT, ls="--", label="log-likelihood")
        left.plot(c, bound, color=INK[dark], label="bound")
        left.fill_between(c, bound, exact, color=FAINT, alpha=0.25, lw=0)
        left.annotate("what is wanted, but costly", (0.62, likelihood(0.62)[0]), (0.5, -0.32),
                      color=FAINT, arrowprops={"arrowstyle": "-", "color": FAINT})  # fmt: skip
        left.annotate("the bound:\nwhat is trained\nand reported", (0.6, likelihood(0.6)[1]),
                      (0.78, -1.75), color=INK[dark],
                      arrowprops={"arrowstyle": "-", "color": INK[dark]})  # fmt: skip
        left.annotate("they touch at\nthe true drift", (1, likelihood(1)[1]), (1.2, -0.45),
                      arrowprops={"arrowstyle": "-", "color": INK[dark]})  # fmt: skip
        left.text(1.36, -0.97, "gap", color=INK[dark])
        left.set(xlabel="the model's drift / the true drift", ylabel="nats", ylim=(-2, -0.2),
                 title="a bound lies below the log-likelihood")  # fmt: skip
        s = torch.logspace(-4, 0, 401).double()
        s = s[s <= SDE.T]
        weight = s * SDE.weight(s) / Debiased(SDE).normaliser
        right.plot(s, weight, color=INK[dark], lw=3, alpha=0.35, label="the bound's weight")
        for arm, law in LAWS.items():
            look = style.PAPER[arm]
            right.plot(s, s * law.density(s), color=look.color, ls=look.ls,
                       label=f"{arm.replace('-', ' ')}'s times")  # fmt: skip
        right.set(xscale="log", xlabel="time s: from data, left, to noise, right", ylim=(0, 1),
                  ylabel="share, per unit of log s",
                  title="debias True draws times as the bound weighs them")  # fmt: skip
        right.legend(frameon=False, loc="upper left")
        style.save(figure, [out])


if __name__ == "__main__":
    for dark in (False, True):
        draw(dark, Path(__file__).with_name(f"drawing{'-dark' * dark}.png"))

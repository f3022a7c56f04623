"""Posteriors of sbi, trained by the package for a moment: its own log_prob is the truth."""

import numpy as np
import pytest
import torch

inference = pytest.importorskip("sbi.inference", reason="sbi is not installed")

from vdiff.adapters.sbi import from_sbi  # noqa: E402
from vdiff.errors import VdiffError  # noqa: E402

KINDS = {
    "NPSE, ve": ("NPSE", {"sde_type": "ve"}),
    "NPSE, vp": ("NPSE", {"sde_type": "vp"}),
    "NPSE, subvp": ("NPSE", {"sde_type": "subvp"}),
    "FMPE": ("FMPE", {}),
}


@pytest.fixture(params=KINDS)
def posterior(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # sbi writes its logs where it is
    kind, more = KINDS[request.param]
    torch.manual_seed(0)  # sbi draws from the global state
    prior = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    theta = prior.sample((1000,))
    trainer = getattr(inference, kind)(prior, show_progress_bars=False, **more)
    trainer.append_simulations(theta, theta + 0.5 * torch.randn(1000, 2))
    trainer.train(max_num_epochs=3, training_batch_size=200)
    return trainer.build_posterior()


@pytest.mark.slow
def test_the_density_by_the_ode_is_the_packages_own(posterior, rng):
    theta, x = torch.randn(2, 6, 2, generator=rng)
    model = from_sbi(posterior, check=False)
    ours = model.log_prob(theta, x, method="ode", tolerance=1e-4).value
    pairs = zip(theta, x, strict=True)
    own = [float(posterior.log_prob(t[None], x=o[None])) for t, o in pairs]
    assert np.abs(ours - own).max() < 0.1


def test_posteriors_of_another_kind_are_refused():
    with pytest.raises(VdiffError, match="it must be of NPSE or FMPE"):
        from_sbi(inference.NPE())

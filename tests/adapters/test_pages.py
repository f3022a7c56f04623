"""The pages of docs/models run, each where its package is installed."""

import re
import sys

import pytest
import torch
from support.pipeline import ROOT

PAGES = {
    "azula": "azula",
    "denoising-diffusion-pytorch": "denoising_diffusion_pytorch",
    "diffusers": "diffusers",
    "edm": None,
    "flow-matching": "flow_matching",
    "k-diffusion": "k_diffusion",
    "monai": "monai",
    "sbi": "sbi",
    "score-sde": None,
    "torchcfm": "torchcfm",
}
"""A page to the module that it needs."""


def test_every_page_is_run_here():
    assert {path.stem for path in (ROOT / "docs/models").glob("*.md")} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_prints_finite_values(page, tmp_path, monkeypatch, capsys):
    if PAGES[page]:
        pytest.importorskip(PAGES[page], reason=f"{PAGES[page]} is not installed")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    text = (ROOT / "docs/models" / f"{page}.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    assert max(map(len, code.splitlines())) <= 100
    exec(compile(code, page, "exec"), {"__name__": page})
    printed = capsys.readouterr().out
    sys.stdout.write(printed)
    assert re.search(r"-?\d\.\d", printed) and "nan" not in printed and "inf" not in printed

"""Energy by counters in a folder like Linux's."""

import json
import time

import pytest
from click.testing import CliRunner

from vdiff.cli import group, main
from vdiff.machine.energy import Meter, processor_times

MOST = 262_000_000_000


@pytest.fixture
def counters(tmp_path):
    """Two sockets, and a part of one, which is counted there already."""

    def put(**microjoules):
        for name, value in microjoules.items():
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "name").write_text({"cores": "core"}.get(name, "package-0") + "\n")
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text(f"{MOST}\n")
        return tmp_path

    put(first=5_000_000, second=MOST - 10_000_000, cores=0)
    return put


def meter(root, own=3.0, every=12.0):
    clocks = iter([(1.0, 100.0), (1.0 + own, 100.0 + every)])
    return Meter(root, lambda: next(clocks))


def test_a_process_has_its_share_of_both_sockets(counters):
    """100 J of one, 30 J of the other, whose counter began again, and a quarter of the time."""
    found = meter(counters())
    counters(first=105_000_000, second=20_000_000, cores=90_000_000)
    assert found.joules() == pytest.approx((100 + 30) / 4)


def test_a_counter_that_was_looked_at_may_begin_again_twice(counters):
    whole = meter(counters(), own=1, every=1)
    for value in (MOST - 1_000_000, 0, MOST - 1_000_000, 0):
        counters(first=value)
        whole.look()
    unseen = meter(counters(), own=1, every=1)
    counters(first=0)
    assert whole.joules() == pytest.approx((2 * MOST - 5_000_000) / 1e6)
    assert unseen.joules() == 0  # the control: what nobody looked at is not seen


def test_a_share_is_at_most_all(counters):
    found = meter(counters(), own=2.02, every=2.0)  # clocks of other grain
    counters(first=15_000_000)
    assert found.joules() == pytest.approx(10)


def test_without_counters_nothing_is_said(counters, tmp_path):
    assert Meter(tmp_path / "none").joules() is None
    found = meter(counters())
    (tmp_path / "first" / "energy_uj").unlink()  # as if others' rights had changed
    assert found.joules() is None
    assert meter(tmp_path).joules() is None


def test_the_clocks_are_of_this_process_and_of_all():
    before = processor_times()
    while time.process_time() < before[0] + 0.3:
        pass
    after = processor_times()
    assert after[0] - before[0] >= 0.3
    assert after[1] - before[1] >= 0.25  # in hundredths of a second


@pytest.mark.parametrize("counted", [True, False])
def test_a_receipt_has_joules_where_they_are_counted(counters, tmp_path, monkeypatch, counted):
    root = counters() if counted else tmp_path / "none"

    def meter():
        found = Meter(root)
        if counted:
            counters(first=MOST // 2)
        return found

    monkeypatch.setattr(group, "Meter", meter)
    log = tmp_path / "job.log"
    assert CliRunner().invoke(main, ["--log", str(log), "presets", "demo"]).exit_code == 0
    receipt = json.loads(log.with_suffix(".json").read_text())
    assert ("joules" in receipt) == counted
    if counted:
        assert 0 < receipt["joules"] <= MOST / 2 / 1e6

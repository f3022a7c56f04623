"""The paper's own training on MNIST, for whoever has one card for half an hour.

    python benchmarks/paper_hour.py --minutes 30 --out FOLDER [--device auto] [--data-root data]
        [--rates 3] [--every 4] [--small]
    python benchmarks/paper_hour.py --out FOLDER --tables results/paper-mnist
    vdiff report results/paper-mnist
    vdiff keep results/paper-mnist results/reference/paper-mnist

First gpu.py, for --rates minutes: is the card right, how fast is it? Then the net and the training
of the preset paper, steps replayed as CUDA graphs, debias True and False in turn, 2,000 of 100,000
iterations at a time, each evaluated by both estimators on all test images: wherever it stops, both
arms are as far, and each has its curve up to there. Every --every minutes and at the end FOLDER
gets all that there is. A second call goes on from that, to the bytes of a single call on a device
that computes the same bytes twice; a FOLDER of other settings, code or data is refused. --tables
makes a results folder of what FOLDER holds, of a training that is under way too. --small: a tiny
net on digits, to see that it runs.

FOLDER has at most eight files, of at most 16 MB: two copies, each with its checksum, of which the
older is replaced, so that after a kill at any instant one is sound. A copy is 53 MB at the end: of
each arm 3 x 6.2 MB of weights and moments (1,539,329 weights), 1.6 MB of losses (100,000 x 2 x 8
bytes) and 6.1 MB of bits/dim (51 evaluations x 3 passes x 10,000 images x 4 bytes).
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vdiff.cli import main as vdiff
from vdiff.config import load_config, run_of
from vdiff.config.experiment import flat
from vdiff.data import load
from vdiff.errors import VdiffError
from vdiff.files import layout
from vdiff.files.atomic import write_bytes
from vdiff.files.codehash import code_hash
from vdiff.files.fingerprint import fingerprint
from vdiff.files.manifest import made_by
from vdiff.files.objects import write_json
from vdiff.files.snapshots import write_table
from vdiff.files.tidy import write_csv, write_npz
from vdiff.files.weights import take, write_snapshot
from vdiff.machine.devices import Wanted, choose, name_of
from vdiff.machine.parallel import Workers
from vdiff.machine.precision import products
from vdiff.machine.stop import Stop
from vdiff.report.contents import described
from vdiff.report.redraw import redraw
from vdiff.steps.evaluate import measure
from vdiff.trained import Trained
from vdiff.training.kept import rows_of, snapshot_iterations
from vdiff.training.loop import steps
from vdiff.training.trainer import Trainer

PIECE, PIECES = 16_000_000, 4  # bytes of a file, files of a copy


def config_of(small):
    name, preset = ("digits", "smoke") if small else ("mnist", "paper")
    of = dict.fromkeys(("likelihood", "discrete", "variance", "forms", "sampling", "quality"))
    of |= {"seeds": [0], "training": {"compile": "graph"}}
    if small:
        of["training"] |= {"iterations": 60, "batch_size": 16, "snapshot_every": 10}
        of |= {"evaluation": {"images": 64, "pilot": 64, "estimators": ["published", "efficient"]}}
    keys = {"preset": preset, "only": [name], "notebook": False, "experiments": {name: of}}
    return load_config(keys)


def newest(folder):
    """(number, content) of the newest sound copy, or (1, None)."""
    found = []
    for k in range(2):
        whole = b"".join(path.read_bytes() for path in sorted(folder.glob(f"copy-{k}-*")))
        body = whole[40 : 40 + int.from_bytes(whole[32:40], "little")]
        if whole and hashlib.sha256(body).digest() == whole[:32]:
            found.append((k, torch.load(io.BytesIO(body), weights_only=True, map_location="cpu")))
    return max(found, key=lambda copy: copy[1]["serial"], default=(1, None))


def write_copy(folder, k, content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()
    whole = hashlib.sha256(body).digest() + len(body).to_bytes(8, "little") + body
    if len(whole) > PIECES * PIECE:
        raise VdiffError(f"A copy has {len(whole):,} bytes, more than {PIECES} x {PIECE:,}.")
    for i in range(0, len(whole), PIECE):
        write_bytes(folder / f"copy-{k}-{i // PIECE}", whole[i : i + PIECE])


class Arm:
    """A training with its evaluations so far."""

    def __init__(self, run, settings, data, device, folder, saved):
        self.run, self.settings, self.folder = run, settings, folder
        self.trainer = Trainer(run, data, Workers(device), folder / "compiled")
        self.model = Trained(run, data, device)
        self.kept = saved or {"rows": [], "arrays": {}, "seconds": 0.0}
        if saved:
            self.trainer.state.restore(saved["state"])
            self.trainer.checked = self.trainer.state.iteration
            print(f"{run.label} goes on at iteration {self.trainer.state.iteration:,}.")

    def dump(self):
        return {**self.kept, "state": self.trainer.state.dump()}

    def advance(self, until, stop):
        """Train to an iteration and evaluate there, unless that is done or `stop` asks before."""
        started = time.monotonic()
        with products(self.run.training.precision):
            for _ in steps(self.trainer, stop, until):
                pass
        self.kept["seconds"] += time.monotonic() - started
        state = self.trainer.state
        if state.iteration != until or until in (row["iteration"] for row in self.kept["rows"]):
            return
        shape = self.model.data.shape
        self.model.snapshots = [write_snapshot(self.folder, until, state.weights(), shape)]
        found = measure(self.model, self.settings).outputs
        self.kept["rows"] += [{**self.run.who, **row} for row in found["out"]]
        new = {name: torch.tensor(v) for name, v in found["per_image"].items()}
        self.kept["arrays"] = dict(sorted({**self.kept["arrays"], **new}.items()))
        cells = [f"{row['bpd']:.4f} ± {row['bpd_std_err']:.4f}" for row in found["out"]]
        print(f"| {self.run.arm} | {until:,} | {' | '.join(cells)} |", flush=True)


def rates(options):
    """What gpu.py says in its time, in a process of its own, whose faults are not ours."""
    script, limit = Path(__file__).with_name("gpu.py"), 60 + 60 * options.rates
    command = [sys.executable, str(script), *["--small"] * options.small]
    command += [f"--device={options.device}", f"--minutes={options.rates}"]
    with TemporaryDirectory() as work:
        command.append(f"--out={work}/gpu")
        try:
            said = subprocess.run(command, stdout=-1, stderr=-2, timeout=limit).stdout
        except subprocess.TimeoutExpired as late:
            said = late.stdout or b""
    print(said.decode(), flush=True)
    return said.decode()


def train(options, config):
    whose = layout.runs(config)
    (experiment,) = config.experiments.values()
    data = load(experiment.dataset, options.data_root)
    code = {step: code_hash(step) for step in ("training.loop", "steps.evaluate")}
    settings = {"config": described(config), "code": code, "data": data.checksum()}
    settings = json.loads(json.dumps(settings))
    number, content = newest(options.out)
    before, now = flat(content["settings"] if content else settings), flat(settings)
    for key in {**before, **now}:
        if before.get(key) != now.get(key):
            raise VdiffError(
                f"{options.out} was made with {key} {before.get(key)}, not {now.get(key)}; give "
                "another folder, or make what it was made with."
            )
    end = time.monotonic() + 60 * options.minutes
    content = content or {"serial": 0, "arms": {}, "rates": rates(options) if options.rates else ""}
    device = choose(Wanted(options.device, share=True))
    ran = {**made_by(), "device": name_of(device), "command": ["paper_hour.py", *sys.argv[1:]]}
    content |= {"settings": settings, "ran": ran, "shape": data.shape}
    with TemporaryDirectory() as work, Stop(max(0, end - time.monotonic()) / 60) as stop:
        place = (experiment.evaluation, data, device, Path(work))
        arms = {w.arm: Arm(run_of(config, *w), *place, content["arms"].get(w.arm)) for w in whose}
        print("| arm | iteration | paper's | efficient |\n|---|---|---|---|")
        kept, run = time.monotonic(), run_of(config, *whose[0])
        for until in snapshot_iterations(run):
            for arm in arms.values():
                arm.advance(until, stop)
            last = stop.asked or until == run.training.iterations
            if last or time.monotonic() >= kept + 60 * options.every:
                number, kept = 1 - number, time.monotonic()
                content["serial"] += 1
                content["arms"] = {name: arm.dump() for name, arm in arms.items()}
                write_copy(options.out, number, content)
            if last:
                break
    print(f"Stopped by {stop.why} before {until:,}." if stop.asked else "All iterations are done.")


def write_tables(content, config, folder, root):
    """A results folder as the pipeline leaves it, with the last weights alone."""
    write_json(folder / "config.json", described(config))
    write_bytes(folder / "gpu.md", content["rates"].encode())
    for who in layout.runs(config):
        run, arm, of = run_of(config, *who), content["arms"][who.arm], folder / who.folder
        state = arm["state"]
        write_json(of / "run.json", run.model_dump())
        write_csv(of / "train.csv", rows_of(run, state["history"]), "train")
        at, weights = state["iteration"], state["average"] or state["network"]
        last = write_snapshot(folder / "state" / who.arm, at, weights, content["shape"])
        data = fingerprint(run.dataset, root).images
        write_table(of / "snapshots.csv", run.who, take([last], of / "weights"), data)
        write_csv(of / "evaluation.csv", arm["rows"], "evaluation")
        write_npz(of / "per_image.npz", **{name: v.numpy() for name, v in arm["arrays"].items()})
        outputs = {str(path): "" for path in of.iterdir() if path.suffix in (".csv", ".npz")}
        receipt = {**content["ran"], "seconds": round(arm["seconds"], 3), "outputs": outputs}
        write_json(folder / f"{layout.LOG.format(**who._asdict())}-train.json", receipt)
    for pair in layout.pairs(config):
        names = [f"--{key}={value}" for key, value in pair._asdict().items()]
        inputs = [folder / name for name in pair.inputs]
        call("difference", *inputs, *names, "--out", folder / pair.file)
    for schema in layout.parts(config):
        call("aggregate", schema, "--of", folder, "--out", folder / f"{schema}.csv")
    call("curves", folder / "evaluation.csv", "--out", folder / "curves.csv")
    also = ["--json", folder / "claims.json", "--controls", folder / "controls.csv"]
    call("claims", folder, "--out", folder / "claims.csv", *also)
    write_json(folder / "manifest.json", {})
    redraw(folder, folder)
    call("manifest", folder, "--out", folder / "manifest.json")


def call(*words):
    if vdiff([str(word) for word in words], standalone_mode=False):
        sys.exit(1)  # it has said why


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--small", action="store_true")
    for name, default in (("minutes", 30.0), ("rates", 3.0), ("every", 4.0), ("device", "auto")):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    options = parser.parse_args()
    os.environ["VDIFF_PROGRESS"] = "none"
    config = config_of(options.small)
    try:
        if options.tables is None:
            train(options, config)
        elif content := newest(options.out)[1]:
            write_tables(content, config, options.tables, options.data_root)
        else:
            raise VdiffError(f"{options.out} holds no sound copy of a training.")
    except VdiffError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

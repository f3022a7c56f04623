"""The table of the networks that come with vdiff: results/reference/pretrained/records.csv.

    python benchmarks/pretrained.py NAME ... [--data npz:FILE] [--data-root data] [--out FILE.csv]

Each is evaluated on its test set by `vdiff.record.measured`, as `vdiff record check` does it; then,
as a test does again, its first images by two draws. Rows of these names are replaced.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

import vdiff
from vdiff.data import load
from vdiff.machine.seeds import generator
from vdiff.pretrained import about, names
from vdiff.record import measured

FIRST = 64


def first_of(model, data, x):
    """log_prob of x by two draws, with controls of 256 training examples."""
    return model.fit(data.pick(256, generator("pilot"))).log_prob(x, draws=2)


def row_of(name, options):
    said = about(names()[name])
    run, t = said["run"], said["run"].training
    data, model = load(options.data or run.dataset, options.data_root, t.real), vdiff.load(name)
    images = min(options.images or data.test_size, data.test_size)
    found = measured(model, data, data.test_examples(None)[:images], options.draws, seed=0)
    x = data.test_examples(None)[:FIRST]
    first = first_of(vdiff.load(name), data, x)
    return {
        "name": name,
        "dataset": run.dataset,
        "images": images,
        "bpd": found.mean,
        "std_err": found.error,
        "se_mc": found.noise,
        "k_hat": found.tail.k_hat,
        "k_most": found.tail.k_most,
        "passes": said["iteration"] * t.batch_size * t.draws_per_image,
        "first": len(x),
        "bpd_first": first.bits_per_dim.mean(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", help="npz:FILE in place of the run's own data.")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, help="Of the test set; by default all.")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument(
        "--out", type=Path, default=Path("results/reference/pretrained/records.csv")
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame()
    for name in options.names:
        rows = [row for row in table.to_dict("records") if row["name"] != name]
        rows.append(row_of(name, options))
        table = pd.DataFrame(sorted(rows, key=lambda row: row["name"]))
        table.to_csv(options.out, index=False)
    print(table.to_markdown(index=False))


if __name__ == "__main__":
    main()

"""evaluate, likelihood, variance, difference."""

import logging
import math

import click

from vdiff.cli.group import DEVICE, PATH, ROOT, RUN, SNAPSHOTS, main
from vdiff.cli.trained import Trained
from vdiff.config import ODE, PRECISIONS, Evaluation, Variance, validate
from vdiff.devices import anywhere
from vdiff.tidy import read_csv, read_npz, write_csv, write_npz

log = logging.getLogger("vdiff")


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--per-image", type=PATH, help="Also write bits/dim per image and pass (NPZ).")
@click.option(
    "--estimator",
    "estimators",
    type=click.Choice(["published", "efficient"]),
    multiple=True,
    default=["published"],
    help="Repeatable: the paper's estimator, the efficient one, or both.",
)
@click.option("--images", type=int, help="Use only the first test images.")
@click.option("--passes", type=int, default=2, help="Passes of the efficient estimator.")
@click.option("--pilot", type=int, default=2048, help="Training draws that fit it.")
@click.option("--target-se", type=float, help="Or passes until this Monte-Carlo error, bits/dim.")
@click.option("--probe", default="rademacher", help="Hutchinson probe: rademacher or gaussian.")
@click.option(
    "--batch-size", type=int, default=256, help="Images at once; no result depends on it."
)
@click.option("--precision", default="float32", help=f"One of {', '.join(PRECISIONS)}.")
@click.option("--last", is_flag=True, help="Only the last snapshot.")
@ROOT
@DEVICE
def evaluate(
    run_file, snapshots, out, per_image, estimators, images, passes, pilot, target_se, probe,
    batch_size, precision, last, data_root, device,
):  # fmt: skip
    """Bits/dim on the test set, with standard errors, for every snapshot of a run."""
    from vdiff.evaluate import TestSet, reference_of, row_of
    from vdiff.evaluate import evaluate as evaluate_drift
    from vdiff.progress import bar

    settings = validate(
        Evaluation,
        {
            "estimators": list(estimators),
            "images": images,
            "passes": passes,
            "pilot": pilot,
            "target_se": target_se,
            "probe": probe,
            "batch_size": batch_size,
            "precision": precision,
        },
    )
    trained = Trained(run_file, data_root, device)
    table = read_csv(snapshots, "snapshots")
    table = table.tail(1) if last else table
    test = TestSet(trained.data, trained.run.training.real, settings.images)
    reference = None
    if "efficient" in settings.estimators:
        reference = reference_of(trained.sde, test)
    rows, arrays = [], {}
    name = "evaluate {experiment} debias={debias} seed={seed}".format(**trained.who)
    with bar(len(table) * len(settings.estimators), name, unit="eval") as progress:
        for snapshot in table.itertuples():
            a = trained.drift(snapshot)
            for estimator in settings.estimators:
                z, u, calls = evaluate_drift(
                    trained.sde,
                    a,
                    test,
                    settings,
                    estimator,
                    reference,
                    trained.run.sde.eps_t,
                    trained.device,
                )
                row = row_of(z, u, calls)
                rows.append(
                    {
                        **trained.who,
                        "estimator": estimator,
                        "iteration": snapshot.iteration,
                        **row,
                    }
                )
                arrays[f"{estimator}_{snapshot.iteration:08d}"] = z.astype("float32")
                if u is not None and len(u) > len(arrays.get("u", ())):
                    arrays["u"] = u  # of pass k the same for every network
                progress.set_postfix_str(f"bpd={row['bpd']:.3f}", refresh=False)
                progress.update()
    if per_image:
        write_npz(per_image, **arrays)
    write_csv(out, rows, "evaluation")
    final = rows[-1]
    log.info(
        "%s: %.4f bits/dim, standard error %.4f, Monte-Carlo part %.4f, %d network evaluations.",
        final["estimator"],
        final["bpd"],
        final["bpd_std_err"],
        final["se_mc"],
        final["network_evaluations"],
    )


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--images", type=int, default=64, help="Use only the first test images.")
@click.option("--tolerance", type=float, default=1e-4, help="rtol and atol of the solver.")
@click.option("--batch-size", type=int, default=64, help="Images at once.")
@ROOT
@DEVICE
def likelihood(run_file, snapshots, out, images, tolerance, batch_size, data_root, device):
    """The exact likelihood of the probability-flow ODE beside the ELBO, for the last snapshot."""
    from vdiff.evaluate import TestSet
    from vdiff.evaluate import evaluate as evaluate_drift
    from vdiff.likelihood import likelihood_row

    content = {"images": images, "tolerance": tolerance, "batch_size": batch_size}
    settings = validate(ODE, content)
    trained = Trained(run_file, data_root, device)
    test = TestSet(trained.data, trained.run.training.real, settings.images)
    last = next(read_csv(snapshots, "snapshots").tail(1).itertuples())
    a = trained.drift(last)
    elbo = validate(Evaluation, {"passes": 16, "batch_size": batch_size})
    z, _, _ = evaluate_drift(
        trained.sde, a, test, elbo, "efficient", None, trained.run.sde.eps_t, trained.device
    )
    name = "likelihood {experiment} debias={debias} seed={seed}".format(**trained.who)
    row = likelihood_row(trained.sde, a, test, settings, z, trained.device, name)
    write_csv(out, [{**trained.who, "iteration": last.iteration, **row}], "likelihood")
    log.info(
        "ODE: %.4f bits/dim (%.4f from a looser tolerance), ELBO: %.4f, %d network evaluations.",
        row["bpd_ode"],
        row["change"],
        row["bpd_elbo"],
        row["evaluations"],
    )


@main.command()
@RUN
@SNAPSHOTS
@click.option("--time", "time_table", type=PATH, required=True, help="The CSV of time to write.")
@click.option("--gradient", type=PATH, required=True, help="The CSV of gradients to write.")
@click.option("--draws", type=int, default=20_000, help="Draws of each ELBO estimator.")
@click.option("--batches", type=int, default=400, help="Batches of each training gradient.")
@click.option("--batch-size", type=int, default=64, help="Examples of a training batch.")
@ROOT
@DEVICE
def variance(
    run_file, snapshots, time_table, gradient, draws, batches, batch_size, data_root, device
):
    """Where in time each ELBO estimator has its variance; bias and variance of the gradients."""
    from vdiff.evaluate import TestSet, reference_of
    from vdiff.variance import gradient_rows, variance_in_time

    content = {"draws": draws, "batches": batches, "batch_size": batch_size}
    settings = validate(Variance, content)
    trained = Trained(run_file, data_root, device)
    test = TestSet(trained.data, trained.run.training.real)
    table = read_csv(snapshots, "snapshots")
    d, seed, eps_t = test.examples[0].numel(), trained.run.seed, trained.run.sde.eps_t
    name = "{experiment} debias={debias} seed={seed}".format(**trained.who)
    gradients = []
    # After the first interval, while the gradient is large, and at the end.
    for snapshot in table.iloc[sorted({min(1, len(table) - 1), len(table) - 1})].itertuples():
        a = anywhere(trained.drift(snapshot), trained.device)
        found = gradient_rows(
            trained.sde, trained.network, a, test.draw, settings.batches, settings.batch_size,
            seed, eps_t, f"gradient {name} at {snapshot.iteration}",
        )  # fmt: skip
        gradients += [{"iteration": snapshot.iteration, **row} for row in found]
    rows = variance_in_time(
        trained.sde, a, test.draw, reference_of(trained.sde, test), 1 / (d * math.log(2)),
        settings.draws, 2048, seed, eps_t, settings.batch_size,
    )  # fmt: skip
    write_csv(time_table, [{**trained.who, **row} for row in rows], "variance_time")
    write_csv(gradient, [{**trained.who, **row} for row in gradients], "gradient")


@main.command()
@click.argument("minuend", type=PATH)
@click.argument("subtrahend", type=PATH)
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--experiment", required=True, help="Its name, for the table.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Its seed, for the table.")
def difference(minuend, subtrahend, out, experiment, seed):
    """Bits/dim of MINUEND less SUBTRAHEND, per-image NPZ files of `vdiff evaluate`.

    Both share their images and noise, so the difference is sharper than either of them.
    """
    from vdiff.aggregate import paired_differences

    rows = paired_differences(read_npz(minuend), read_npz(subtrahend))
    write_csv(out, [{"experiment": experiment, "seed": seed, **row} for row in rows], "differences")

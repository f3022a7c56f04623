# A figure rule names the modules that draw it as inputs: editing one remakes its figure alone.
# The modules that read and style the figures change all of them.
SHARED = [VDIFF / "figures" / "style.py", VDIFF / "tidy.py"]


def drawn_by(*names):
    return [*SHARED, *(VDIFF / "figures" / f"{name}.py" for name in names)]


def trajectory_files(wildcards):
    base = first_run(f"{RUN}/trajectory", wildcards.experiment)
    return [f"{base}/lmbd_{lmbd}.npz" for lmbd in lmbds(wildcards.experiment)]


def grid_rows(wildcards):
    """The published grid has every lambda but 1."""
    return ",".join(lmbd for lmbd in lmbds(wildcards.experiment) if lmbd != "1")


def steps_of(key):
    return lambda wildcards: ",".join(
        str(i) for i in getattr(CONFIG.experiments[wildcards.experiment].trajectory, key)
    )


rule figure_bpd:
    input:
        table=f"{R}/curves.csv",
        code=drawn_by("bpd", "curves"),
    output:
        multiext(f"{R}/figures/bpd-{{experiment}}", ".png", ".pdf"),
    params:
        out=lambda wildcards, output: [f"--out {path}" for path in output],
    log:
        f"{R}/logs/figure-bpd-{{experiment}}.log",
    shell:
        "vdiff --log {log:q} plot bpd {input.table:q} {params.out}"
        " --experiment {wildcards.experiment}"


rule figure_standard_error:
    input:
        table=f"{R}/curves.csv",
        code=drawn_by("standard_error", "curves"),
    output:
        multiext(f"{R}/figures/standard-error-{{experiment}}", ".png", ".pdf"),
    params:
        out=lambda wildcards, output: [f"--out {path}" for path in output],
    log:
        f"{R}/logs/figure-standard-error-{{experiment}}.log",
    shell:
        "vdiff --log {log:q} plot standard-error {input.table:q} {params.out}"
        " --experiment {wildcards.experiment}"


rule figure_samples:
    input:
        images=lambda wildcards: [
            f"{RUN}/samples.npz".format(
                experiment=wildcards.experiment,
                debias=debias,
                seed=CONFIG.experiments[wildcards.experiment].seeds[0],
            )
            for debias in sorted(CONFIG.experiments[wildcards.experiment].debias)
        ],
        code=drawn_by("samples"),
    output:
        multiext(f"{R}/figures/samples-{{experiment}}", ".png", ".pdf"),
    params:
        out=lambda wildcards, output: [f"--out {path}" for path in output],
    log:
        f"{R}/logs/figure-samples-{{experiment}}.log",
    shell:
        "vdiff --log {log:q} plot samples {input.images:q} {params.out}"
        " --experiment {wildcards.experiment}"


rule figure_lambda_grid:
    input:
        histograms=trajectory_files,
        code=drawn_by("lambda_grid"),
    output:
        multiext(f"{R}/figures/lambda-grid-{{experiment}}", ".png", ".pdf"),
    params:
        out=lambda wildcards, output: [f"--out {path}" for path in output],
        columns=steps_of("columns"),
        lmbds=grid_rows,
    log:
        f"{R}/logs/figure-lambda-grid-{{experiment}}.log",
    shell:
        "vdiff --log {log:q} plot lambda-grid {input.histograms:q} {params.out}"
        " --columns {params.columns} --lmbds={params.lmbds}"


rule figure_lambda_strips:
    input:
        histograms=trajectory_files,
        code=drawn_by("lambda_grid", "lambda_strips"),
    output:
        multiext(f"{R}/figures/lambda-strips-{{experiment}}", ".png", ".pdf"),
    params:
        out=lambda wildcards, output: [f"--out {path}" for path in output],
        columns=steps_of("strip_columns"),
    log:
        f"{R}/logs/figure-lambda-strips-{{experiment}}.log",
    shell:
        "vdiff --log {log:q} plot lambda-strips {input.histograms:q} {params.out}"
        " --columns {params.columns} --lmbds=0,1"


rule figure_loss:
    input:
        table=f"{R}/train.csv",
        code=drawn_by("loss"),
    output:
        multiext(f"{R}/figures/loss", ".png", ".pdf"),
    params:
        out=lambda wildcards, output: [f"--out {path}" for path in output],
    log:
        f"{R}/logs/figure-loss.log",
    shell:
        "vdiff --log {log:q} plot loss {input.table:q} {params.out}"

localrules:
    figure_bpd,
    figure_standard_error,
    figure_samples,
    figure_lambda_grid,
    figure_lambda_strips,
    figure_loss,
    figure_distances,
    figure_differences,
    figure_likelihood,
    figure_variance,
    figure_published,
    animate_points,
    animate_images,


# A figure rule names the modules that draw it as inputs: editing one remakes its figure alone.
rule figure_bpd:
    input:
        table=f"{R}/curves.csv",
        code=drawn_by("bpd", "curves", "published"),
        published=PUBLISHED,
    output:
        report(
            f"{R}/figures/bpd-{{experiment}}.png",
            caption="../report/bpd.rst",
            category="Likelihood",
        ),
        f"{R}/figures/bpd-{{experiment}}.pdf",
        f"{R}/figures/bpd-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-bpd-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        published=published_overlay,
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot bpd {input.table:q} {params.out}"
        " --experiment {wildcards.experiment} {params.published}"


rule figure_standard_error:
    input:
        table=f"{R}/curves.csv",
        code=drawn_by("standard_error", "curves"),
    output:
        report(
            f"{R}/figures/standard-error-{{experiment}}.png",
            caption="../report/standard-error.rst",
            category="Likelihood",
        ),
        f"{R}/figures/standard-error-{{experiment}}.pdf",
        f"{R}/figures/standard-error-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-standard-error-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot standard-error {input.table:q} {params.out}"
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
        report(
            f"{R}/figures/samples-{{experiment}}.png",
            caption="../report/samples.rst",
            category="Samples",
        ),
        f"{R}/figures/samples-{{experiment}}.pdf",
        f"{R}/figures/samples-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-samples-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot samples {input.images:q} {params.out}"
        " --experiment {wildcards.experiment}"


rule figure_lambda_grid:
    input:
        histograms=trajectory_files,
        code=drawn_by("lambda_grid"),
    output:
        report(
            f"{R}/figures/lambda-grid-{{experiment}}.png",
            caption="../report/lambda-grid.rst",
            category="The lambda family",
        ),
        f"{R}/figures/lambda-grid-{{experiment}}.pdf",
        f"{R}/figures/lambda-grid-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-lambda-grid-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
        columns=steps_of("columns"),
        lmbds=grid_rows,
    shell:
        "python -m vdiff --log {log:q} plot lambda-grid {input.histograms:q} {params.out}"
        " --columns {params.columns} --lmbds={params.lmbds}"


rule figure_lambda_strips:
    input:
        histograms=trajectory_files,
        code=drawn_by("lambda_grid", "lambda_strips"),
    output:
        report(
            f"{R}/figures/lambda-strips-{{experiment}}.png",
            caption="../report/lambda-strips.rst",
            category="The lambda family",
        ),
        f"{R}/figures/lambda-strips-{{experiment}}.pdf",
        f"{R}/figures/lambda-strips-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-lambda-strips-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
        columns=steps_of("strip_columns"),
    shell:
        "python -m vdiff --log {log:q} plot lambda-strips {input.histograms:q} {params.out}"
        " --columns {params.columns} --lmbds=0,1"


rule figure_loss:
    input:
        table=f"{R}/train.csv",
        code=drawn_by("loss", "curves"),
    output:
        report(
            f"{R}/figures/loss.png",
            caption="../report/loss.rst",
            category="Training",
        ),
        f"{R}/figures/loss.pdf",
        f"{R}/figures/loss-dark.png",
    log:
        f"{R}/logs/figure-loss.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot loss {input.table:q} {params.out}"


rule figure_distances:
    input:
        table=f"{R}/distances.csv",
        code=drawn_by("distances", "curves"),
    output:
        report(
            f"{R}/figures/distances-{{experiment}}.png",
            caption="../report/distances.rst",
            category="The lambda family",
        ),
        f"{R}/figures/distances-{{experiment}}.pdf",
        f"{R}/figures/distances-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-distances-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot distances {input.table:q} {params.out}"
        " --experiment {wildcards.experiment}"


rule figure_differences:
    input:
        table=f"{R}/differences.csv",
        code=drawn_by("differences", "curves"),
    output:
        report(
            f"{R}/figures/differences.png",
            caption="../report/differences.rst",
            category="Likelihood",
        ),
        f"{R}/figures/differences.pdf",
        f"{R}/figures/differences-dark.png",
    log:
        f"{R}/logs/figure-differences.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot differences {input.table:q} {params.out}"


rule figure_likelihood:
    input:
        table=f"{R}/likelihood.csv",
        code=drawn_by("likelihood", "curves"),
    output:
        report(
            f"{R}/figures/likelihood.png",
            caption="../report/likelihood.rst",
            category="Likelihood",
        ),
        f"{R}/figures/likelihood.pdf",
        f"{R}/figures/likelihood-dark.png",
    log:
        f"{R}/logs/figure-likelihood.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot likelihood {input.table:q} {params.out}"


rule figure_variance:
    input:
        time=f"{R}/variance_time.csv",
        gradient=f"{R}/gradient.csv",
        code=drawn_by("variance", "curves"),
    output:
        report(
            f"{R}/figures/variance-{{experiment}}.png",
            caption="../report/variance.rst",
            category="Likelihood",
        ),
        f"{R}/figures/variance-{{experiment}}.pdf",
        f"{R}/figures/variance-{{experiment}}-dark.png",
    log:
        f"{R}/logs/figure-variance-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot variance {input.time:q} {input.gradient:q}"
        " {params.out} --experiment {wildcards.experiment}"


rule figure_published:
    input:
        table=PUBLISHED,
        code=drawn_by("published"),
    output:
        report(
            f"{R}/figures/published.png",
            caption="../report/published.rst",
            category="Likelihood",
        ),
        f"{R}/figures/published.pdf",
        f"{R}/figures/published-dark.png",
    log:
        f"{R}/logs/figure-published.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} plot published {input.table:q} {params.out}"


# The WebP is for web pages, the GIF for everything else.
rule animate_points:
    input:
        frames=lambda wildcards: [
            first_run(f"{RUN}/trajectory/lmbd_{lmbd}.npz", wildcards.experiment)
            for lmbd in ("0", "1")
        ],
        code=drawn_by("animation", "samples"),
    output:
        multiext(f"{R}/figures/lambda-{{experiment}}", ".gif", ".webp"),
    log:
        f"{R}/logs/animate-lambda-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} animate points {input.frames:q} {params.out}"


rule animate_images:
    input:
        frames=lambda wildcards: first_run(
            f"{RUN}/samples.npz", wildcards.experiment, last=True
        ),
        code=drawn_by("animation", "samples"),
    output:
        multiext(f"{R}/figures/sampling-{{experiment}}", ".gif", ".webp"),
    log:
        f"{R}/logs/animate-sampling-{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        out=outputs,
    shell:
        "python -m vdiff --log {log:q} animate images {input.frames:q} {params.out}"

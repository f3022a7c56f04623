localrules:
    difference,
    gather_differences,
    gather_evaluation,
    gather_likelihood,
    gather_variance_time,
    gather_gradient,


rule evaluate:
    input:
        run=f"{RUN}/run.json",
        snapshots=f"{RUN}/snapshots.csv",
    output:
        table=f"{RUN}/evaluation.csv",
        per_image=f"{RUN}/per_image.npz",
    log:
        f"{LOG}-evaluate.log",
    benchmark:
        f"{BENCH}-evaluate.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        options=options("evaluation"),
        code=code_hash("evaluate"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} evaluate --run {input.run:q}"
        " --snapshots {input.snapshots:q} --out {output.table:q} --per-image {output.per_image:q}"
        " {params.options} --data-root {params.data_root:q} --device {params.device}"


rule difference:
    input:
        true=f"{R}/runs/{{experiment}}/debias-True/seed-{{seed}}/per_image.npz",
        false=f"{R}/runs/{{experiment}}/debias-False/seed-{{seed}}/per_image.npz",
    output:
        table=f"{R}/runs/{{experiment}}/differences-seed-{{seed}}.csv",
    log:
        f"{R}/logs/{{experiment}}-seed-{{seed}}-difference.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} difference {input.true:q} {input.false:q}"
        " --out {output.table:q} --experiment {wildcards.experiment} --seed {wildcards.seed}"


rule gather_differences:
    input:
        differences(),
    output:
        f"{R}/differences.csv",
    log:
        f"{R}/logs/gather-differences.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate differences {input:q} --out {output:q}"


rule gather_evaluation:
    input:
        runs(f"{RUN}/evaluation.csv"),
    output:
        evaluation=f"{R}/evaluation.csv",
        curves=f"{R}/curves.csv",
    log:
        f"{R}/logs/gather-evaluation.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate evaluation {input:q} --out {output.evaluation:q}"
        " --curves {output.curves:q}"


rule likelihood:
    input:
        run=f"{RUN}/run.json",
        snapshots=f"{RUN}/snapshots.csv",
    output:
        table=f"{RUN}/likelihood.csv",
    log:
        f"{LOG}-likelihood.log",
    benchmark:
        f"{BENCH}-likelihood.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        options=options("likelihood"),
        code=code_hash("likelihood"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} likelihood --run {input.run:q}"
        " --snapshots {input.snapshots:q} --out {output.table:q}"
        " {params.options} --data-root {params.data_root:q} --device {params.device}"


rule gather_likelihood:
    input:
        runs(f"{RUN}/likelihood.csv", experiments("likelihood")),
    output:
        f"{R}/likelihood.csv",
    log:
        f"{R}/logs/gather-likelihood.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate likelihood {input:q} --out {output:q}"


rule variance:
    input:
        run=f"{RUN}/run.json",
        snapshots=f"{RUN}/snapshots.csv",
    output:
        time=f"{RUN}/variance_time.csv",
        gradient=f"{RUN}/gradient.csv",
    log:
        f"{LOG}-variance.log",
    benchmark:
        f"{BENCH}-variance.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        options=options("variance"),
        code=code_hash("variance"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} variance --run {input.run:q}"
        " --snapshots {input.snapshots:q} --time {output.time:q}"
        " --gradient {output.gradient:q}"
        " {params.options} --data-root {params.data_root:q} --device {params.device}"


rule gather_variance_time:
    input:
        [
            first_run(f"{RUN}/variance_time.csv", name)
            for name in experiments("variance")
        ],
    output:
        f"{R}/variance_time.csv",
    log:
        f"{R}/logs/gather-variance_time.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate variance_time {input:q} --out {output:q}"


rule gather_gradient:
    input:
        [first_run(f"{RUN}/gradient.csv", name) for name in experiments("variance")],
    output:
        f"{R}/gradient.csv",
    log:
        f"{R}/logs/gather-gradient.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate gradient {input:q} --out {output:q}"

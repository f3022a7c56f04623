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
        mem_mb=4000,
    params:
        options=options("evaluation"),
        code=code_hash("evaluate"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} evaluate --run {input.run:q}"
        " --snapshots {input.snapshots:q} --out {output.table:q} --per-image {output.per_image:q}"
        " {params.options} --data-root {params.data_root:q} --device {params.device}"


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

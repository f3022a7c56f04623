rule notebook:
    input:
        ROOT / "notebooks" / "swissroll.ipynb",
    output:
        f"{R}/swissroll.ipynb",
    log:
        f"{R}/logs/notebook.log",
    benchmark:
        f"{R}/benchmarks/notebook.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=[code_hash(step) for step in ("train", "evaluate", "sample")],
    shell:
        "OMP_NUM_THREADS={threads} jupyter execute {input:q} --output=$(realpath {output:q})"
        " >{log:q} 2>&1"

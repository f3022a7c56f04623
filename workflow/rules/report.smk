# By its parameter the mark is new where Snakemake knows the last one, by the time of its input
# where the folder came from elsewhere.
rule asked:
    input:
        local(DESCRIBED) if UNFIT else ancient(local(DESCRIBED)),
    output:
        MARK,
    log:
        "<results>/logs/asked.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        says=SAYS,
    shell:
        "printf %s {params.says:q} 2>{log:q} >{output:q}"


rule describe:
    input:
        mark=mark("config.json"),
    output:
        "<results>/config.json",
    log:
        "<results>/logs/describe.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        asked=DESCRIBED,
    shell:
        "vdiff --log {log:q} describe {params.asked:q} --out {output:q}"


rule notebook:
    input:
        local(str(ROOT / "notebooks" / "swissroll.ipynb")),
    output:
        "<results>/swissroll.ipynb",
    log:
        "<results>/logs/notebook.log",
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_hash("training.loop", "steps.evaluate", "steps.sample"),
    shell:
        'OMP_NUM_THREADS={threads} jupyter execute {input:q} --output="$(realpath {output:q})"'
        " >{log:q} 2>&1"


rule manifest:
    input:
        inside(contents.files(CONFIG)),
        inside(layout.logs(CONFIG) if STORE else []),
        mark=mark("manifest.json"),
    output:
        "<results>/manifest.json",
    log:
        "<results>/logs/manifest.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        rules=rules_by_log,
        folder=subpath(output[0], parent=True),
    shell:
        "vdiff --log {log:q} manifest {params.folder:q} --rules {params.rules:q}"
        " --out {output:q}"


rule report_page:
    input:
        manifest="<results>/manifest.json",
        mark=mark("report.html"),
        results=inside(contents.files(CONFIG)),
        figures=inside(contents.figures(CONFIG)),
    output:
        page="<results>/report.html",
        provenance=provenance(["<results>/report.html"]),
    log:
        "<results>/logs/report.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output[0], parent=True),
        code=code_hash("report.page"),
    shell:
        "vdiff --log {log:q} report {params.folder:q} --page-only --out {output.page:q}"

# Not part of `all`: the figures and the report of every kept result, from its tables alone.
KEPT = [path.parent.name for path in Path("results/reference").glob("*/config.json")]


rule reference:
    input:
        collect("results/reference/{kept}/report.html", kept=KEPT),


rule kept_page:
    input:
        "results/reference/{kept}/config.json",
        "results/reference/{kept}/manifest.json",
    output:
        "results/reference/{kept}/report.html",
    log:
        ".snakemake/log/reference-{kept}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output[0], parent=True),
        code=code_hash("report.redraw", "report.page"),
    shell:
        "vdiff --log {log:q} report {params.folder:q} --out {output:q}"

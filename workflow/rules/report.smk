localrules:
    manifest,
    claims,
    report,


rule manifest:
    input:
        figures(),
        tables(),
        notebooks(),
        f"{R}/claims.json",
    output:
        f"{R}/manifest.json",
    log:
        f"{R}/logs/manifest.log",
    conda:
        ENVIRONMENT
    params:
        config=CONFIG.model_dump_json(),
        rules=rules_by_log,
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m vdiff --log {log:q} manifest {params.folder:q} --config {params.config:q}"
        " --rules {params.rules:q} --out {output:q}"


rule claims:
    input:
        tables(),
        claim_samples(),
    output:
        csv=report(f"{R}/claims.csv", caption="../report/claims.rst", category="Claims"),
        json=f"{R}/claims.json",
    log:
        f"{R}/logs/claims.log",
    conda:
        ENVIRONMENT
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
        code=code_hash("claims"),
    shell:
        "python -m vdiff --log {log:q} claims {params.folder:q} --out {output.csv:q}"
        " --json {output.json:q}"


rule report:
    input:
        figures(),
        claims=f"{R}/claims.csv",
        manifest=f"{R}/manifest.json",
        code=[VDIFF / "report" / "__init__.py", VDIFF / "report" / "page.html"],
        captions=captions(),
    output:
        f"{R}/report.html",
    log:
        f"{R}/logs/report.log",
    conda:
        ENVIRONMENT
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
        captions=ROOT / "workflow" / "report",
    shell:
        "python -m vdiff --log {log:q} report {params.folder:q} --captions {params.captions:q}"
        " --out {output:q}"


# Not part of `all`: the pictures of the README, taken from the demo by `snakemake gallery`.
rule gallery:
    input:
        [f"{R}/figures/{name}" for name in GALLERY],
    output:
        [f"docs/gallery/{name}" for name in GALLERY],
    log:
        f"{R}/logs/gallery.log",
    conda:
        ENVIRONMENT
    shell:
        "cp {input:q} docs/gallery/ >{log:q} 2>&1"

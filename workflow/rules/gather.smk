rule difference:
    input:
        unpack(compared),
        provenance=compared_provenance,
        mark=mark(layout.DIFFERENCE),
    output:
        table="<results>/<difference>",
        provenance=provenance([f"<results>/{layout.DIFFERENCE}"]),
    log:
        f"<results>/{layout.DIFFERENCE_LOG}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_hash("stats.aggregate"),
    shell:
        "vdiff --log {log:q} difference {input.first:q} {input.second:q}"
        " --out {output.table:q} --experiment {wildcards.experiment} --first {wildcards.first:q}"
        " --second {wildcards.second:q} --seed {wildcards.seed}"


rule gather:
    input:
        tables=lambda wildcards: inside(PARTS[wildcards.table]),
        provenance=lambda wildcards: provenance_in(inside(PARTS[wildcards.table])),
        mark=mark("{table}.csv"),
    output:
        table="<results>/{table}.csv",
        provenance=provenance(["<results>/{table}.csv"]),
    log:
        "<results>/logs/gather-{table}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.table, parent=True),
        asked=DESCRIBED,
        code=code_hash("files.tidy"),
    shell:
        "vdiff --log {log:q} aggregate {wildcards.table} --of {params.folder:q}"
        " --config {params.asked:q} --out {output.table:q}"


rule curves:
    input:
        evaluation="<results>/evaluation.csv",
        provenance=provenance_in(["<results>/evaluation.csv"]),
        mark=mark("curves.csv"),
    output:
        table="<results>/curves.csv",
        provenance=provenance(["<results>/curves.csv"]),
    log:
        "<results>/logs/curves.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_hash("stats.aggregate"),
    shell:
        "vdiff --log {log:q} curves {input.evaluation:q} --out {output.table:q}"


rule claims:
    input:
        mark=mark("claims.csv"),
        config="<results>/config.json",
        tables=inside(contents.tables(CONFIG)),
        provenance=provenance_in(inside(contents.tables(CONFIG))),
    output:
        csv=report(
            "<results>/claims.csv", caption="../report/claims.rst", category="Claims"
        ),
        json="<results>/claims.json",
        controls="<results>/controls.csv",
        provenance=provenance(inside(contents.VERDICTS)),
    log:
        "<results>/logs/claims.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=subpath(input.config, parent=True),
        code=code_hash("stats.controls"),
    shell:
        "vdiff --log {log:q} claims {params.folder:q} --out {output.csv:q}"
        " --json {output.json:q} --controls {output.controls:q}"

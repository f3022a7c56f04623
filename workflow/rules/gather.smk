rule difference:
    input:
        unpack(compared),
        records=compared_records,
        mark=mark(layout.DIFFERENCE),
    output:
        table="<results>/<difference>",
        records=recorded([f"<results>/{layout.DIFFERENCE}"]),
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
        records=lambda wildcards: records_of(inside(PARTS[wildcards.table])),
        mark=mark("{table}.csv"),
    output:
        table="<results>/{table}.csv",
        records=recorded(["<results>/{table}.csv"]),
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
        records=records_of(["<results>/evaluation.csv"]),
        mark=mark("curves.csv"),
    output:
        table="<results>/curves.csv",
        records=recorded(["<results>/curves.csv"]),
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
        records=records_of(inside(contents.tables(CONFIG))),
    output:
        csv=report(
            "<results>/claims.csv", caption="../report/claims.rst", category="Claims"
        ),
        json="<results>/claims.json",
        controls="<results>/controls.csv",
        records=recorded(inside(contents.VERDICTS)),
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

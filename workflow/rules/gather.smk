rule difference:
    input:
        unpack(compared),
        mark="<marks>/<difference>",
    output:
        "<results>/<difference>",
    log:
        f"<results>/{layout.DIFFERENCE_LOG}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_hash("stats.aggregate"),
    shell:
        "vdiff --log {log:q} difference {input.first:q} {input.second:q}"
        " --out {output:q} --experiment {wildcards.experiment} --first {wildcards.first:q}"
        " --second {wildcards.second:q} --seed {wildcards.seed}"


rule gather:
    input:
        tables=lambda wildcards: inside(PARTS[wildcards.table]),
        mark="<marks>/{table}.csv",
    output:
        "<results>/{table}.csv",
    log:
        "<results>/logs/gather-{table}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output[0], parent=True),
        asked=DESCRIBED,
        code=code_hash("files.tidy"),
    shell:
        "vdiff --log {log:q} aggregate {wildcards.table} --of {params.folder:q}"
        " --config {params.asked:q} --out {output:q}"


rule curves:
    input:
        evaluation="<results>/evaluation.csv",
        mark="<marks>/curves.csv",
    output:
        "<results>/curves.csv",
    log:
        "<results>/logs/curves.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_hash("stats.aggregate"),
    shell:
        "vdiff --log {log:q} curves {input.evaluation:q} --out {output:q}"


rule claims:
    input:
        mark="<marks>/claims.csv",
        config="<results>/config.json",
        tables=inside(contents.tables(CONFIG)),
        features=[
            path
            for pairs in contents.compared_features(CONFIG).values()
            for pair in pairs
            for path in inside(pair)
        ],
    output:
        csv=report(
            "<results>/claims.csv", caption="../report/claims.rst", category="Claims"
        ),
        json="<results>/claims.json",
        controls="<results>/controls.csv",
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

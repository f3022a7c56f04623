# One rule for each figure of vdiff/figures/registry.py. Its code is that of its module and what
# that imports, so that editing one remakes its figure alone. WebP is for web pages, GIF for
# everything else.
for figure in FIGURES.values():

    rule:
        name:
            rule_name(figure)
        input:
            mark=mark(f"figures/{pattern(figure)}{figure.endings[0]}"),
            tables=figure_inputs(figure),
            provenance=figure_provenance(figure),
        output:
            report(
                f"<results>/figures/{pattern(figure)}{figure.endings[0]}",
                caption=str(CAPTIONS / f"{figure.name}.rst"),
                category=figure.category,
            ),
            [f"<results>/figures/{pattern(figure)}{end}" for end in figure.endings[1:]],
            provenance=provenance(
                [f"<results>/figures/{pattern(figure)}{end}" for end in figure.endings]
            ),
        log:
            f"<results>/logs/figure-{pattern(figure)}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            command=figure_words(figure),
            code=code_hash(f"figures.{figure.module}"),
        shell:
            "vdiff --log {log:q} {params.command} {input.tables:q}"

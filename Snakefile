from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/notebook.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        figures(),
        tables(),
        notebooks(),
        f"{R}/claims.json",
        f"{R}/report.html",


onsuccess:
    print(
        f"Done: read {R}/report.html; the figures are in {R}/figures, their data in {R}."
    )

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/notebook.smk"


rule all:
    default_target: True
    input:
        figures(),
        tables(),
        notebooks(),


onsuccess:
    print(f"Done: the figures are in {R}/figures, their tables and arrays in {R}.")

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/gather.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/gallery.smk"


rule all:
    default_target: True
    input:
        inside(contents.files(CONFIG)),
        "<results>/report.html",


onsuccess:
    if Path(f"{R}/report.html").exists():
        print(
            f"Done: the report is {R}/report.html, the figures are in {R}/figures."
        )

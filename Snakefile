from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/commands.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/gather.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/gallery.smk"
include: "workflow/rules/reference.smk"


rule all:
    default_target: True
    input:
        inside(contents.files(CONFIG)),
        "<results>/report.html",


onsuccess:
    # The report is made last; it is old when other targets were asked for.
    made = [
        Path(file) for file in inside(["report.html", *contents.tables(CONFIG)])
    ]
    times = [file.stat().st_mtime if file.exists() else 0 for file in made]
    asked_for = not (workflow.dag_settings.until or workflow.touch)
    if asked_for and times[0] >= max(times) > 0:
        print(
            f"Done: the report is {R}/report.html, the figures are in {R}/figures."
        )

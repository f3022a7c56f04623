STILL = ["bpd-digits", "bpd-photos", "differences", "samples-digits"]
STILL += ["lambda-grid-swissroll", "lambda-strips-swissroll", "distances-swissroll"]
STILL += [
    "standard-error-digits",
    "variance-swissroll",
    "likelihood",
    "loss",
    "inference-swissroll",
]
GALLERY = collect("{name}{theme}.png", name=STILL, theme=["", "-dark"])
GALLERY += ["lambda-swissroll.webp", "sampling-digits.webp"]


# Not part of `all`: the pictures of the README, taken from the demo by `snakemake gallery`.
rule gallery:
    input:
        collect("<results>/figures/{name}", name=GALLERY),
    output:
        collect("docs/gallery/{name}", name=GALLERY),
    log:
        "<results>/logs/gallery.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "cp {input:q} docs/gallery/ >{log:q} 2>&1"

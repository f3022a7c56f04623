# One rule for each step of vdiff/config/specs/, named after it.
for step in SPECS.values():

    rule:
        name:
            step.name
        input:
            run="<run>/run.json",
            snapshots="<run>/snapshots.csv",
            weights="<run>/weights",
            mark=f"<mark>/{step.outputs[0].file}",
        output:
            [f"<run>/{output.file}" for output in step.outputs],
        log:
            f"<log>-{step.name}{f'-{{{step.axis.name}}}' if step.axis else ''}.log",
        conda:
            ENVIRONMENT
        threads: CONFIG.threads
        resources:
            mem_mb=step.memory_mb,
            runtime=step.minutes,
            gpu=GPU,
            machine=MACHINE,
        params:
            step=step.name,
            outputs=outputs_of(step),
            options=options_of(step),
            code=code_hash(f"steps.{step.name}"),
            data=data_of,
        shell:
            "vdiff --log {log:q} --threads {threads} {params.step} --run {input.run:q}"
            " --snapshots {input.snapshots:q} {params.outputs} {params.options} {resources.machine}"

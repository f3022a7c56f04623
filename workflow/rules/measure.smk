# One rule for each step of vdiff/config/specs/, named after it.
for step in SPECS.values():

    rule:
        name:
            step.name
        input:
            run="<run>/run.json",
            snapshots="<run>/snapshots.csv",
            weights=f"<run>/weights{SUFFIX}",
            provenance=provenance_in(["<run>/snapshots.csv"]),
            mark=mark(f"{layout.RUN}/{step.outputs[0].file}"),
            data=data_in,
            before=[],
        output:
            [f"<run>/{output.file}" for output in step.outputs],
            provenance=provenance([f"<run>/{output.file}" for output in step.outputs]),
            ran=ran(f"{step_log(step)}.log"),
        log:
            f"{step_log(step)}.log",
        conda:
            ENVIRONMENT
        threads: CONFIG.threads
        resources:
            mem_mb=step.memory_mb,
            runtime=step.minutes,
            gpu=GPU,
            machine=WHERE,
        params:
            step=step.name,
            outputs=outputs_of(step),
            options=options_of(step),
            code=code_hash(f"steps.{step.name}"),
            data=data_of,
        shell:
            (
                f'{UNPACK}tar -xf {{input.weights:q}} -C "$(dirname {{input.run:q}})"; '
                if STORE
                else ""
            )
            + "vdiff --log {log:q} --threads {threads} {params.step} --run {input.run:q}"
            " --snapshots {input.snapshots:q} {params.outputs} {params.options} {resources.machine}"
            f"{DATA_ROOT}"

#!/usr/bin/env bash
# Snakemake makes a file that is asked for and missing. Not if an `ancient()` input of its job is
# there and has to be made again in the same run, because a parameter of its rule changed, say: the
# run ends with code 0, "1 of 1 steps done", without the file that was asked for. Jobs after one
# that has to run are not asked for reasons of their own, since they would follow anyway, and then
# those whose inputs from it are all ancient do not. A second run makes the file. Seen in 9.27.1. It
# affects anyone who marks inputs ancient to keep results and adds a seed or a sample. In vdiff an
# input is ancient only for files that are there.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# shellcheck disable=SC2086 # options are words
"$folder/venv/bin/pip" install --quiet ${PIP_ARGS:-} \
    snakemake==9.27.1
cd "$folder"
cat >Snakefile <<'END'
rule settings:
    output: "settings.txt"
    params: value=config["value"]
    shell: "echo {params.value} >{output}"

rule sample:
    input: ancient("settings.txt")
    output: "sample-{n}.txt"
    shell: "cp {input} {output}"
END
run() { "$folder/venv/bin/snakemake" "$@" --cores 1 --quiet all >/dev/null 2>&1; }
made() { if [ -f "$1" ]; then echo "made"; else echo "not made"; fi; }
"$folder/venv/bin/snakemake" --version | sed 's/^/snakemake /'
echo "expected: each run makes the file that it is asked for"
run sample-1.txt --config value=1
first="$(made sample-1.txt)"
run sample-2.txt --config value=2 && code=0 || code=$?
second="$(made sample-2.txt)"
run sample-2.txt --config value=2
third="$(made sample-2.txt)"
echo "sample-1: $first; sample-2 after the value changed: $second, code $code; again: $third"
if [ "$first, $second, $code, $third" != "made, not made, 0, made" ]; then
    echo "no longer as described" >&2
    exit 1
fi

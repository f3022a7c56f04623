"""A results folder as an RO-Crate: the files, the workflow, and every step as an action.

It conforms to the profiles Process, Workflow and Provenance Run Crate 0.5
(https://w3id.org/ro/wfrun/provenance/0.5) and Workflow RO-Crate 1.0. All that it says of a step
is in manifest.json: command, rule, time, outputs and their checksums. A step's inputs are the
results that its command names.
"""

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rocrate.model.computationalworkflow import ComputationalWorkflow
from rocrate.model.contextentity import ContextEntity
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

from vdiff.errors import VdiffError
from vdiff.files.atomic import write_bytes
from vdiff.files.manifest import sha256
from vdiff.files.objects import read_json
from vdiff.files.pipeline import snakefile

PAPER = "https://arxiv.org/abs/2106.02808"
LICENCE = "https://spdx.org/licenses/MIT"
SNAKEMAKE = "https://snakemake.github.io"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
BIOSCHEMAS = "https://bioschemas.org/profiles"
COMPLETED = "http://schema.org/CompletedActionStatus"
WEIGHTS = "weights"
EXTRA = ("manifest.json", "report.html")  # made from the files that the manifest lists


def export(
    folder: Path, out: Path, authors: Sequence[str] = (), weights: Sequence[Path] = ()
) -> int:
    """Write the crate as the ZIP file `out`; returns how many results are in it.

    folder needs the manifest.json of a finished run. authors: names, each with an ORCID's address
    behind it or none. weights: files of `vdiff export-weights`, which go to WEIGHTS in the crate.
    Raises VdiffError when the manifest is absent, a listed file is missing or
    changed, or out cannot be written.
    """
    manifest = read_json(folder / "manifest.json")
    check_listed(folder, manifest)
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    crate.name = f"vdiff results: {folder.name}"
    crate.description = (
        "Figures, tables and verdicts on the claims of 'A Variational Perspective on "
        "Diffusion-Based Generative Models and Score Matching', as vdiff measured them."
    )
    crate.license = _add(crate, LICENCE, "CreativeWork", name="MIT licence")
    crate.root_dataset["datePublished"] = manifest["made"]
    crate.root_dataset["conformsTo"] = [
        _add(crate, address, "CreativeWork", name=name, version=version)
        for address, (name, version) in PROFILES.items()
    ]
    people = [_person(crate, author) for author in authors]
    if people:
        crate.root_dataset["author"] = _one_or_many(people)
    listed = (name for name in (*manifest["results"], *EXTRA) if (folder / name).is_file())
    files = {name: _add_file(crate, folder / name, name) for name in sorted(listed)}
    files |= {f"{WEIGHTS}/{p.name}": _add_file(crate, p, f"{WEIGHTS}/{p.name}") for p in weights}
    _Run(crate, manifest, files, people).describe()
    write_bytes(out, b"".join(crate.stream_zip()))
    return len(files)


class _HowTo(ComputationalWorkflow):
    """A workflow that tells of its steps."""

    TYPES = (*ComputationalWorkflow.TYPES, "HowTo")


class _Run:
    """The run of a workflow: entities of its prospective and retrospective provenance."""

    def __init__(
        self, crate: ROCrate, manifest: dict, files: dict[str, File], people: list[ContextEntity]
    ) -> None:
        self.crate, self.manifest, self.files, self.people = crate, manifest, files, people
        made = self.manifest["results"].get("config.json", {}).get("command", [])
        self.root = next(
            (w.removesuffix("/config.json") for w in made if "/config.json" in w), None
        )
        self.tools: dict[str, ContextEntity] = {}
        self.steps: dict[str, ContextEntity] = {}
        self.data: dict[str, ContextEntity] = {}

    def describe(self) -> None:
        crate, files = self.crate, self.files
        version = self.manifest["vdiff"]
        paper = _add(crate, PAPER, "ScholarlyArticle", name="arXiv 2106.02808")
        self.workflow = self._workflow()
        engine = _add(
            crate,
            f"{SNAKEMAKE}/#{self.manifest['packages']['snakemake']}",
            "SoftwareApplication",
            name="Snakemake",
            url=SNAKEMAKE,
            version=self.manifest["packages"]["snakemake"],
        )
        self._parameter("input", "config.json")
        self._parameter("output", "report.html")
        commands = self._commands().items()
        controls = [self._step(k, *command) for k, command in enumerate(commands)]
        self.workflow["hasPart"] = list(self.tools.values())
        self.workflow["step"] = list(self.steps.values())
        self.workflow["version"] = version["version"]
        self.workflow["identifier"] = version["commit"] or "no commit"
        self.workflow["citation"] = paper
        run = self._action(
            "#run",
            "snakemake",
            f"Snakemake made {len(files)} results.",
            self.manifest["made"],
            instrument=self.workflow,
            object=[file for file in (files.get("config.json"), *self.data.values()) if file],
            result=[file for name, file in files.items() if name != "config.json"],
        )
        organise = _add(
            crate, "#organise", "OrganizeAction",
            name=f"Snakemake {self.manifest['packages']['snakemake']}",
            endTime=self.manifest["made"],
        )  # fmt: skip
        organise["instrument"], organise["object"], organise["result"] = engine, controls, run
        crate.root_dataset.append_to("mentions", run)

    def _workflow(self) -> File:
        source = snakefile()
        workflow = self.crate.add_workflow(
            source, "Snakefile", main=True, lang="snakemake", cls=_HowTo,
            properties={"encodingFormat": "text/plain", "name": "vdiff", "url": PAPER},
        )  # fmt: skip
        workflow["conformsTo"] = {"@id": f"{BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE"}
        workflow["license"] = {"@id": LICENCE}
        workflow["author"] = _add(self.crate, "#vdiff", "Organization", name="The vdiff authors")
        for rules in sorted((source.parent / "workflow" / "rules").glob("*.smk")):
            included = self.crate.add_file(rules, f"workflow/rules/{rules.name}")
            included["encodingFormat"] = "text/plain"
        return workflow

    def _parameter(self, side: str, name: str) -> None:
        """The workflow's one input, the configuration, or the output that shows all others."""
        if name not in self.files:
            return
        parameter = _add(
            self.crate, f"#{side}", "FormalParameter", name=name, additionalType="File"
        )
        parameter["conformsTo"] = {"@id": f"{BIOSCHEMAS}/FormalParameter/1.0-RELEASE"}
        parameter["workExample"] = self.files[name]
        self.files[name]["exampleOfWork"] = parameter
        self.workflow[side] = parameter

    def _commands(self) -> dict[tuple[str, ...], tuple[dict, list[str]]]:
        """Each command of the manifest once: its receipt and the names of what it made."""
        commands: dict[tuple[str, ...], tuple[dict, list[str]]] = {}
        for name, receipt in self.manifest["results"].items():
            if "command" in receipt:
                commands.setdefault(tuple(receipt["command"]), (receipt, []))[1].append(name)
        return commands

    def _step(self, k: int, command: Sequence[str], made: tuple[dict, list[str]]) -> ContextEntity:
        """The action of one command and the control action of its step."""
        receipt, names = made
        action = self._action(
            f"#action-{k}",
            " ".join([*command[:1], _verb(command), *_who(names)]),
            " ".join(command),
            receipt["ended"],
            receipt["seconds"],
            instrument=self._tool(command),
            object=[self.files[used] for used in self._named(command) if used not in names]
            + self._data(receipt),
            result=[self.files[name] for name in names],
        )
        control = _add(
            self.crate, f"#control-{k}", "ControlAction", name=f"Snakemake ran {action['name']}"
        )
        control["instrument"] = self._step_of(receipt.get("rule") or _verb(command), command)
        control["object"] = action
        return control

    def _action(
        self, id_: str, name: str, text: str, ended: str, seconds: float = 0.0, **links: object
    ) -> ContextEntity:
        action = _add(
            self.crate, id_, "CreateAction",
            name=name, description=text, endTime=ended, actionStatus=COMPLETED,
        )  # fmt: skip
        if seconds:
            started = datetime.fromisoformat(ended) - timedelta(seconds=seconds)
            action["startTime"] = started.isoformat(timespec="milliseconds")
        if self.people:
            action["agent"] = self.people[0]
        for key, value in links.items():
            action[key] = _one_or_many(value)
        self.crate.root_dataset.append_to("mentions", action)
        return action

    def _tool(self, command: Sequence[str]) -> ContextEntity:
        verb = _verb(command)
        if verb not in self.tools:
            self.tools[verb] = _add(
                self.crate, f"#vdiff-{verb}", "SoftwareApplication",
                name=f"vdiff {verb}", url=PAPER, version=self.manifest["vdiff"]["version"],
            )  # fmt: skip
        return self.tools[verb]

    def _step_of(self, rule: str, command: Sequence[str]) -> ContextEntity:
        if rule not in self.steps:
            self.steps[rule] = _add(
                self.crate, f"Snakefile#{rule}", "HowToStep",
                name=rule, position=str(len(self.steps)),
            )  # fmt: skip
            self.steps[rule]["workExample"] = self._tool(command)
        return self.steps[rule]

    def _data(self, receipt: dict) -> list[ContextEntity]:
        for name, checksum in receipt.get("data", {}).items():
            if name not in self.data:
                self.data[name] = _add(
                    self.crate, f"#data-{len(self.data)}", "CreativeWork",
                    name=f"data set {name}", sha256=checksum,
                )  # fmt: skip
        return [self.data[name] for name in receipt.get("data", {})]

    def _named(self, command: Iterable[str]) -> Iterator[str]:
        """Results that the words of a command name, by themselves or behind an option; the whole
        folder stands for its tables."""
        for word in command:
            if word == self.root:
                yield from (n for n in self.files if "/" not in n and n.endswith(".csv"))
            parts = word.split("=", 1)[-1].split("/")
            ends = ("/".join(parts[i:]) for i in range(len(parts)))
            yield from [name for name in ends if name in self.files][:1]


def _verb(command: Sequence[str]) -> str:
    """The subcommand: the first word that is neither an option of the group nor its value."""
    words = iter(command[1:])
    for word in words:
        if not word.startswith("-"):
            return word
        if "=" not in word:
            next(words, None)
    return "vdiff"


def _who(names: Sequence[str]) -> list[str]:
    """Experiment, arm and seed, or the name of what was made."""
    parts = names[0].split("/")
    return parts[1:4] if parts[0] == "runs" else [parts[-1]]


def check_listed(folder: Path, manifest: dict) -> None:
    """Raise VdiffError unless every file is there and as the manifest has it."""
    try:
        listed = {name: made["sha256"] for name, made in manifest["results"].items()}
    except (KeyError, TypeError, AttributeError):
        raise VdiffError(
            f"{folder / 'manifest.json'} must have `results`, each with its sha256, as "
            "`vdiff manifest` writes them."
        ) from None
    for name, checksum in listed.items():
        path = folder / name
        if not path.is_file() or sha256(path) != checksum:
            raise VdiffError(
                f"{path} is not as the manifest has it; run snakemake again before exporting."
            )


def _one_or_many(value: object) -> object:
    """JSON-LD of RO-Crate 1.1 has a list only for several."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _person(crate: ROCrate, author: str) -> ContextEntity:
    name, _, orcid = author.partition("https://orcid.org/")
    id_ = f"https://orcid.org/{orcid}" if orcid else f"#{'-'.join(author.lower().split())}"
    return _add(crate, id_, "Person", name=name.strip(" ,<"))


def _add(crate: ROCrate, id_: str, kind: str, **properties: str) -> ContextEntity:
    return crate.add(ContextEntity(crate, id_, {"@type": kind, **properties}))


def _add_file(crate: ROCrate, path: Path, name: str) -> File:
    properties = {
        "encodingFormat": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "contentSize": str(path.stat().st_size),
        "sha256": sha256(path),
    }
    return crate.add_file(path, name, properties=properties)

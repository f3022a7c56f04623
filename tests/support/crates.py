"""roc-validator without the network: what it would fetch comes from packages, and from here."""

import json
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

from rocrate_validator.models import Severity
from rocrate_validator.services import ValidationSettings, validate
from rocrate_validator.utils.http import HttpRequester

TERMS = "https://w3id.org/ro/terms/workflow-run"
BIOSCHEMAS = "https://bioschemas.org/"
# rocrate ships the context of RO-Crate 1.3, in which these four have other addresses than in 1.1.
OLDER = {
    "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
    "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
    "output": f"{BIOSCHEMAS}ComputationalWorkflow#output",
}


def contexts() -> dict[str, dict]:
    crate = json.loads((files("rocrate") / "data/ro-crate.jsonld").read_text())["@context"]
    words = ("sha256", "connection", "sourceParameter", "targetParameter", "resourceUsage")
    return {
        "https://w3id.org/ro/crate/1.1/context": {"@context": crate | OLDER},
        f"{TERMS}/context": {"@context": {word: f"{TERMS}#{word}" for word in words}},
    }


def issues(crate: Path, monkeypatch) -> list[str]:
    """What an unpacked crate lacks that Provenance Run Crate 0.5 and all that it is of require."""
    known = contexts()

    def get(self, url, **words):
        content = known.get(url)
        return SimpleNamespace(
            status_code=200 if content else 404,
            headers={"Content-Type": "application/ld+json"},
            text=json.dumps(content),
            json=lambda: content,
            raise_for_status=lambda: None,
            from_cache=True,
        )

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)
    found = validate(
        ValidationSettings(
            rocrate_uri=str(crate),
            profile_identifier="provenance-run-crate",
            requirement_severity=Severity.REQUIRED,
            offline=True,
        )
    )
    assert found.passed() == (not found.get_issues())
    return [f"{issue.check.identifier}: {issue.message}" for issue in found.get_issues()]

"""Would a wrong formula have passed? The tests of the exact claims, on wrong formulas.

Each claim's own test, with its own margin, is given rows that a wrong formula, drift or law made
(`fault` in the tables; steps/faults.py makes them), and must say that the claim does not hold.
"""

import pandas as pd

from vdiff.stats.claims import CLAIMS, NO_FAULT, Tables, evidence_of
from vdiff.stats.evidence import Evidence, rejected

SWAPPED = {
    "uniform times in place of debiased ones": {"uniform": "debiased"},
    "debiased times, to eps_t / 10, in place of uniform ones": {"debiased_tenth": "uniform"},
}
"""Laws of time that are wrong for the claim about another; the gradient has their rows anyway."""


def controls(tables: Tables) -> list[dict]:
    """Rows of the schema controls."""
    cases: list[tuple[str, Evidence]] = []
    for schema in CLAIMS:
        frame = tables.get(schema, pd.DataFrame())
        if schema == "gradient" and len(frame):
            for fault, laws in SWAPPED.items():
                wrong = frame[frame["law"].isin(list(laws))].replace({"law": laws})
                cases += [(fault, e) for e in evidence_of({schema: wrong})]
        elif "fault" in frame:
            for fault in frame["fault"].unique():
                if fault != NO_FAULT:
                    cases += [(fault, e) for e in evidence_of({schema: frame}, fault)]
    verdicts = rejected([e for _, e in cases])
    return [_row(*case, *verdict) for case, verdict in zip(cases, verdicts, strict=True)]


def _row(fault: str, evidence: Evidence, caught: bool, power: float) -> dict:
    estimate = evidence.estimate
    return {
        "fault": fault,
        "name": evidence.claim.name,
        "claim": evidence.claim.text,
        "experiment": evidence.experiment,
        **estimate.row(),
        "unit": evidence.unit,
        "rejected": caught,
        "power": power,
    }

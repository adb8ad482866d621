"""Look at all evidence and rank what it supports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..command.progress import Progress
from .case import Case
from .causes import CAUSES, findings
from .evidences import EVIDENCES
from .finding import Clue, Finding
from .rollouts import success_rate


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        findings: the strongest first; none on a healthy run.
        clues: everything that was measured, by the evidence that it comes from.
        success: the rate on fresh seeds; None where it is not known.
        notes: what could not be looked at, and why.
    """

    findings: list[Finding]
    clues: dict[str, list[Clue]]
    success: float | None
    notes: list[str]

    def figures(self) -> dict[str, Any]:
        """Return the diagnosis in JSON's types."""
        return {
            "success": self.success,
            "findings": [vars(finding) for finding in self.findings],
            "measured": {
                name: [vars(clue) for clue in clues] for name, clues in self.clues.items()
            },
            "notes": self.notes,
        }


def examine(case: Case) -> Diagnosis:
    """Look at all evidence that the time allows and rank what it supports."""
    clues: dict[str, list[Clue]] = {}
    with Progress("diagnose", len(EVIDENCES), "evidences") as progress:
        for evidence in EVIDENCES:
            if evidence.needs_env and case.make_env is None:
                case.notes.append(f"{evidence.name}: there is no environment")
            elif case.budget.spent:
                case.notes.append(f"{evidence.name}: no time was left (minutes=)")
            else:
                clues[evidence.name] = list(evidence.clues(case))
            progress.advance(at=evidence.name)

    success = success_rate(case)
    every = [clue for each in clues.values() for clue in each]
    return Diagnosis(findings(case, every, success), clues, success, list(case.notes))


def title_of(finding: Finding) -> str:
    """Return a finding's cause in a few words."""
    return CAUSES[finding.name].title

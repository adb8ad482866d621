"""Put each fault of the table into a copy of the code and see whether its tests notice.

    python benchmarks/mutants/run.py [--only PATTERN] [--rows N:M] [--fresh] [--limit SECONDS]

Results go to `benchmarks/results/mutants.json` after every row. Rows that were killed before are
skipped unless their text changed, so that a run that was stopped goes on where it was; `--fresh`
runs them all. At the end every test that noticed a fault is run once on the code as it is: it must
pass there.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

# The folder of this file must not be on the path: its `datasets` would hide Hugging Face's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import RESULTS, write_result  # noqa: E402

from mutants.row import Row  # noqa: E402
from mutants.table import ROWS  # noqa: E402
from mutants.workshop import Outcome, Workshop, workshop  # noqa: E402

#: How a run of the tests ended -> what that says of the mutant.
VERDICTS = {"passed": "survived", "failed": "killed", "timeout": "timeout", "broken": "broken"}

Records = dict[str, dict[str, Any]]


def main() -> int:
    """Run the chosen rows; return 1 if a mutant survives without an explanation."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the tests end with it
    known = {} if options.fresh else _known()
    chosen = [row for row in _rows(options.rows) if _fits(row, options.only)]
    waiting = [row for row in chosen if known.get(row.key, {}).get("verdict") != "killed"]
    print(f"{len(chosen)} of {len(ROWS)} rows, {len(waiting)} to run", flush=True)
    if waiting:
        with workshop() as place:
            for number, row in enumerate(waiting, 1):
                with place.mutated(row.file, row.old, row.new):
                    outcome = place.test(row.tests, options.limit)
                known[row.key] = _record(row, outcome)
                _write(known)
                verdict = known[row.key]["verdict"]
                seconds = f"{outcome.seconds:5.1f} s"
                print(f"{number:3d} {verdict:10s} {seconds}  {row.file}: {row.what}", flush=True)

    if not options.trust:
        with workshop() as place:
            _write(known, sound=_alarms(place, known))
    return _tell(chosen, known)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="regular expression of file or description")
    parser.add_argument("--rows", default=":", help="N:M, as in a slice")
    parser.add_argument("--fresh", action="store_true", help="run killed mutants again")
    parser.add_argument("--trust", action="store_true", help="do not try the tests without a fault")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a row")
    return parser.parse_args()


def _rows(text: str) -> list[Row]:
    first, _, last = text.partition(":")
    return ROWS[int(first or 0) : int(last) if last else None]


def _fits(row: Row, pattern: str) -> bool:
    return re.search(pattern, f"{row.file} {row.what}") is not None


def _known() -> Records:
    """Return what earlier runs found, by the key of the row."""
    file = RESULTS / "mutants.json"
    if not file.exists():
        return {}
    return {each["key"]: each for each in json.loads(file.read_text())["rows"]}


def _alarms(place: Workshop, known: Records) -> dict[str, Any]:
    """Run every test that noticed a fault on the code as it is; a sound one passes there."""
    noticed = [each["by"] for each in known.values() if "::" in each["by"]]
    tests = sorted(set(noticed))
    outcome = place.test(tests, limit=3600)
    print(f"{len(tests)} tests without a fault: {outcome.status} in {outcome.seconds:.0f} s")
    if outcome.status != "passed":
        print(outcome.by)
    return {
        "n_tests": len(tests),
        "status": outcome.status,
        "by": outcome.by,
        "seconds": round(outcome.seconds, 1),
    }


def _record(row: Row, outcome: Outcome) -> dict[str, Any]:
    verdict = VERDICTS[outcome.status]
    if verdict == "survived" and row.equivalent:
        verdict = "explained"
    return {
        "key": row.key,
        "file": row.file,
        "what": row.what,
        "verdict": verdict,
        "by": outcome.by,
        "explanation": row.equivalent,
        "seconds": round(outcome.seconds, 2),
    }


def _write(known: Records, **more: Any) -> None:
    """Write the results of the rows that stand in the table, in its order."""
    rows = [known[row.key] for row in ROWS if row.key in known]
    counts = Counter(each["verdict"] for each in rows)
    write_result("mutants", {"n_rows": len(ROWS), "verdicts": dict(counts), **more, "rows": rows})


def _tell(chosen: list[Row], known: Records) -> int:
    """Print what became of the rows, and return the exit code."""
    found = [(row, known[row.key]["verdict"]) for row in chosen if row.key in known]
    counts = Counter(verdict for _, verdict in found)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    for row, verdict in found:
        if verdict == "explained":
            print(f"explained: {row.file}: {row.what}: {row.equivalent}")
    left = [
        (row, verdict) for row, verdict in found if verdict in ("survived", "broken", "timeout")
    ]
    for row, verdict in left:
        print(f"{verdict}: {row.file}: {row.what}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

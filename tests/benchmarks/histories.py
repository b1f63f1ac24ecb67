"""Compare training histories of the library bit for bit, to show that a refactoring changed no number.

    python tests/benchmarks/histories.py before.json            # with the checkout before the change
    python tests/benchmarks/histories.py after.json before.json # with the one after it: exit 1 where a bit differs

Every library problem that docs/library.md trains in less than ten seconds is trained on one thread. Of its history all columns
but the seconds are kept, as hexadecimal numbers, with the errors and the sizes of the network.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

import pdekan as pk

ROWS = Path(__file__).with_name("library.json")
SECONDS = 10.0


def quick() -> list[str]:
    """Names of the problems that are trained in less than SECONDS, by the table of the library."""
    rows = json.loads(ROWS.read_text("utf-8"))
    return [name for name, row in rows.items() if row["seconds"] < SECONDS]


def history(name: str) -> dict[str, Any]:
    """Everything of a training that does not depend on the clock."""
    solution = pk.solve(pk.load_problem(name))
    columns = {key: [float(v).hex() for v in values] for key, values in solution.history.items() if key != "seconds"}
    errors = {key: float(one.l2).hex() for key, one in (solution.errors or {}).items()}
    return {"history": columns, "errors": errors, "parameters": solution.parameters, "status": solution.status}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of the data that differ between two histories of a problem."""
    different = [key for key in ("errors", "parameters", "status") if before[key] != after[key]]
    columns = {**before["history"], **after["history"]}
    return different + [key for key in columns if before["history"].get(key) != after["history"].get(key)]


def main() -> int:
    """Write the histories, and compare them where others are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("written", type=Path, help="the file to write")
    parser.add_argument("before", type=Path, nargs="?", help="the file to compare with")
    parser.add_argument("--only", nargs="*", help="problems, by default all quick ones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads(options.before.read_text("utf-8")) if options.before else None
    kept: dict[str, Any] = {}
    failed = 0
    for name in options.only or quick():
        kept[name] = history(name)
        different = [] if before is None else differences(before[name], kept[name])
        failed += bool(different)
        steps = len(kept[name]["history"]["step"])
        verdict = "" if before is None else "the same" if not different else f"DIFFERENT: {', '.join(different)}"
        sys.stdout.write(f"{name}: {steps} steps {verdict}\n")
        sys.stdout.flush()
    options.written.write_text(json.dumps(kept) + "\n", "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

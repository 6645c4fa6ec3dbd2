"""Run the stop proof and write its table.

    python -m robot_mbrl.benchmarks.stop_proof [--seeds 5] [--only NAME ...] [--out runs/stop-proof]

Writes OUT.json and OUT.html after every run, so that an interrupted campaign has its results too. Ends with code 1 when
a kind of fault does not stop as it must.
"""

import argparse
import json
import platform
import signal
import sys
from pathlib import Path
from typing import Final

from robot_mbrl.benchmarks.stop_proof.campaign import KINDS, Run, run_campaign
from robot_mbrl.benchmarks.stop_proof.criteria import violations
from robot_mbrl.benchmarks.stop_proof.report import as_html, as_json, rows, summary

INTERRUPTED: Final = 130
"""What a shell reports for a program that Ctrl-C ended (128 + SIGINT)."""


def main() -> int:
    """Run what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = [kind.name for kind in KINDS]
    parser.add_argument("--seeds", type=int, default=5, help="how many arms each fault hits")
    parser.add_argument("--first-seed", type=int, default=0, help="number of the first arm")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("runs/stop-proof"), help="path of the table, no ending")
    arguments = parser.parse_args()
    kinds = [kind for kind in KINDS if arguments.only is None or kind.name in arguments.only]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []

    def done(run: Run) -> None:
        runs.append(run)
        print(f"{len(runs)}/{len(kinds) * len(seeds)} {_line(run)}", flush=True)
        arguments.out.with_suffix(".json").write_text(json.dumps(as_json(kinds, runs), indent=2), encoding="utf-8")
        arguments.out.with_suffix(".html").write_text(as_html(kinds, runs, platform.platform()), encoding="utf-8")

    # A terminated campaign must not leave its arm and deployment behind any more than an interrupted one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_campaign(kinds, seeds, done)
    except KeyboardInterrupt:
        print(f"interrupted; {arguments.out}.json and .html hold the {len(runs)} runs so far", file=sys.stderr)
        return INTERRUPTED
    print(summary(kinds, runs))
    return 1 if any(row.failures for row in rows(kinds, runs)) else 0


def _line(run: Run) -> str:
    if run.measures is None:
        return f"{run.kind}, seed {run.seed}: NOT MADE: {run.error}"
    verdict, rest = _milliseconds(run.measures.to_verdict), _milliseconds(run.measures.to_rest)
    told = [run.state, *violations(run.measures, run.settling), *(["rode through"] if run.rode_through else [])]
    return f"{run.kind}, seed {run.seed}: verdict {verdict}, rest {rest}, {', '.join(told)}"


def _milliseconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds * 1e3:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())

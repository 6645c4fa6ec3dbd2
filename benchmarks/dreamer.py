"""Updates a second of Dreamer: batch 16x64, a vector observation as dm_control's reacher gives it, imagination 15.

Each row is a size and a manner of computing, measured in a process of its own whose threads are pinned to the cores,
one after the other. GFLOP are counted, two a multiplication with addition, in the matrix products of an update as it
is made; the ensemble that tells Dreamer's doubt, which the peer does not have, is in them.

    python -m robot_mbrl.benchmarks.dreamer [--seconds 20] [--sizes 1M 12M] [--device cpu] [--every-manner] [--json]
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from robot_mbrl.contracts.errors import ProcessFailed

PEER_UPDATES: Final = 2.27
"""Updates a second of the official implementation (danijar/dreamerv3 on JAX 0.4.33, preset size1m, proprio, batch
16x64, float32), measured on 2 cores of an AMD EPYC (Zen 5, AVX512_BF16) without a GPU."""

WANTED: Final = 2.5
"""Times the peer's speed, at size 1M on two such cores."""

_BEST = ("--compiled",)
_OTHERS = (("--compiled", "--precision", "float32"), (), ("--precision", "float32"))
"""Manners of computing, as arguments of `dreamer_updates`."""

Announce = Callable[[str], None]


def measure(
    seconds: float,
    sizes: Sequence[str] = ("1M",),
    device: str = "cpu",
    every_manner: bool = False,
    announce: Announce = lambda _: None,
) -> dict[str, dict[str, Any]]:
    """Measure each size for about `seconds` [s], compiled in the best precision; with `every_manner` also otherwise.

    Returns:
        By row what `dreamer_updates.measure` gives, and at size 1M `peer_ratio`.

    Raises:
        ProcessFailed: a measuring process ended without figures.
    """
    rows: dict[str, dict[str, Any]] = {}
    for size in sizes:
        for manner in (_BEST, *_OTHERS) if every_manner else (_BEST,):
            announce(f"size {size}: {'compiling, which takes minutes' if '--compiled' in manner else 'uncompiled'}")
            row = _measure_one(seconds, ("--size", size, "--device", device, *manner))
            made = "compiled" if "--compiled" in manner else "eager"
            rows[f"{size}, {made}, {row['precision']}, {row['kernel']}"] = row
            if size == "1M":
                row["peer_ratio"] = row["updates_per_second"] / PEER_UPDATES
    return rows


def _measure_one(seconds: float, arguments: Sequence[str]) -> dict[str, Any]:
    # Counted here: in a process whose threads are pinned, the first one may use its own core only.
    cores = len(os.sched_getaffinity(0))
    given = ["--seconds", str(seconds), "--threads", str(cores), *arguments]
    command = [sys.executable, "-m", "robot_mbrl.benchmarks.dreamer_updates", *given]
    # OpenMP reads these when torch is loaded, hence a process of its own.
    pinned = os.environ | {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}
    done = subprocess.run(command, env=pinned, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise ProcessFailed(f"{' '.join(command[1:])} ended with {done.returncode}: see its messages above")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """`measure`'s figures as lines of text."""
    titles = ("updates/s", "GFLOP", "GFLOP/s", "CPU s", "first s", "peer")
    lines = [f"{'batch 16x64, imagination 15':36}" + "".join(f"{title:>11}" for title in titles)]
    for name, row in figures.items():
        ratio = f"{row['peer_ratio']:10.2f}x" if "peer_ratio" in row else ""
        numbers = (row["updates_per_second"], row["gflop"], row["gflop_per_second"], row["processor"], row["first"])
        lines.append(f"{name:36}" + "".join(f"{number:11.2f}" for number in numbers) + ratio)
    for name, row in figures.items():
        shares = ", ".join(f"{phase} {100.0 * share:.0f} %" for phase, share in row["phases"].items())
        lines.append(f"{name}: {shares}")
        lines += [f"    {100.0 * share:5.1f} %  {operator}" for operator, share in row["operators"].items()]
    lines.append(f"peer: official DreamerV3 on JAX, {PEER_UPDATES} updates/s at 1M on 2 cores; wanted {WANTED}x")
    return "\n".join(lines)


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each row")
    parser.add_argument("--sizes", nargs="+", default=["1M"], help="of 1M, 12M, 25M")
    parser.add_argument("--device", default="cpu", help="where torch computes")
    parser.add_argument("--every-manner", action="store_true", help="also uncompiled, and float32")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds, arguments.sizes, arguments.device, arguments.every_manner)
    print(
        json.dumps({"processors": os.cpu_count(), "figures": figures}, indent=2) if arguments.json else table(figures)
    )


if __name__ == "__main__":
    main()

"""Try other people's drivers on the emulated arms: `python -m robot_mbrl.benchmarks.crosscheck`.

Prints one line a case and ends with `N passed, N failed`; the exit code is 0 only when all passed.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from robot_mbrl.benchmarks.crosscheck import environments
from robot_mbrl.benchmarks.crosscheck.arm_cases import ARM_CASES
from robot_mbrl.benchmarks.crosscheck.bench import Bench
from robot_mbrl.benchmarks.crosscheck.case import Row, run_case
from robot_mbrl.benchmarks.crosscheck.faults import (
    FAULT_CASES,
    check_one_module_two_packages,
    check_pty_has_no_baud_rate,
)
from robot_mbrl.benchmarks.crosscheck.peer_process import PeerProcess
from robot_mbrl.benchmarks.crosscheck.physics import Physics
from robot_mbrl.benchmarks.crosscheck.served_pty import Tap
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess


def arm_rows(arm_name: str, root: Path) -> Iterator[Row]:
    """Run all peers' cases on one emulated arm, which each finds as the one before left it."""
    arm = load_arm(arm_name)
    with (
        TemporaryDirectory() as folder,
        VirtualArmProcess(arm_name, link=Path(folder) / "arm") as emulated,
        Tap(emulated.port, arm.baud) as tap,
    ):
        for name, cases in ARM_CASES[arm_name].items():
            with PeerProcess(environments.interpreter(name, root), environments.PEERS[name]) as peer:
                bench = Bench(name, peer, arm, tap, Physics(arm.joints, emulated.control.truth))
                for case in cases:
                    bench.reset()
                    yield run_case(f"{arm_name}: {case.__name__.replace('_', ' ')}", name, partial(case, bench))


def fault_rows(root: Path) -> Iterator[Row]:
    """Run the cases of the SDKs' faults."""
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(PeerProcess(environments.interpreter(name, root), module))
            for name, module in environments.PEERS.items()
        }
        for fault in FAULT_CASES:
            yield run_case(f"fault {fault.name}", fault.peer, partial(fault.check, peers[fault.peer]))
    both = "both Feetech SDKs"
    yield run_case("fault 5 two packages, one module", both, partial(check_one_module_two_packages, root))
    yield run_case("fault 6 a pty has no baud rate", "(bare pty)", check_pty_has_no_baud_rate)


def main() -> int:
    """Make the environments, run everything, print the table."""
    parser = argparse.ArgumentParser(description="Try other people's servo drivers on the emulated arms.")
    parser.add_argument("--environments", type=Path, default=environments.DEFAULT_ROOT, help="where the peers live")
    root: Path = parser.parse_args().environments
    for name in environments.PEERS:
        if not environments.is_ready(name, root):
            print(f"making {root / name} ...", flush=True)
            environments.prepare(name, root)
    passed = failed = 0
    for rows in (fault_rows(root), *(arm_rows(arm_name, root) for arm_name in ARM_CASES)):
        for row in rows:
            print(row, flush=True)
            passed += row.passed
            failed += not row.passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

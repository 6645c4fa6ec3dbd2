"""One row of the report: what was tried, on which peer, and whether it held."""

from collections.abc import Callable
from dataclasses import dataclass

from robot_mbrl.benchmarks.crosscheck.peer_process import PeerFailure
from robot_mbrl.contracts.errors import RobotMbrlError


class Mismatch(Exception):
    """The peer, the emulated arm and ours do not agree where they should, or agree where they should not."""


def require(holds: bool, otherwise: str) -> None:
    """Fail the case with the text `otherwise` unless `holds`."""
    if not holds:
        raise Mismatch(otherwise)


def require_same(what: str, found: object, wanted: object) -> None:
    """Fail the case unless `found` equals `wanted`."""
    require(found == wanted, f"{what}: {_shown(found)}, should be {_shown(wanted)}")


@dataclass(frozen=True, slots=True)
class Row:
    """A finished case."""

    case: str
    peer: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        """The row as one line of the table."""
        return f"{'pass' if self.passed else 'FAIL'}  {self.peer:<20}  {self.case:<50}  {self.detail}"


def run_case(case: str, peer: str, check: Callable[[], str]) -> Row:
    """Run `check`, which gives a remark on success, and make a row of it."""
    try:
        return Row(case, peer, True, check())
    except (Mismatch, PeerFailure, RobotMbrlError, OSError) as error:
        return Row(case, peer, False, f"{type(error).__name__}: {error}")


def _shown(value: object) -> str:
    return value.hex(" ") if isinstance(value, bytes) else repr(value)

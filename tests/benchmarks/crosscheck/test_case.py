"""A case that does not hold is a failed row; an error of this project's own code is not swallowed."""

import pytest

from robot_mbrl.benchmarks.crosscheck.case import Mismatch, require, require_same, run_case
from robot_mbrl.contracts.errors import BusTimeout


def test_a_case_that_holds_is_a_passed_row_with_its_remark() -> None:
    row = run_case("scan", "rustypot", lambda: "6 servos")
    assert row.passed
    assert str(row).split() == ["pass", "rustypot", "scan", "6", "servos"]


@pytest.mark.parametrize("error", [Mismatch("3, should be 4"), BusTimeout("ID 4: no answer"), OSError("gone")])
def test_a_case_that_does_not_hold_is_a_failed_row_with_the_reason(error: Exception) -> None:
    def check() -> str:
        raise error

    row = run_case("scan", "rustypot", check)
    assert not row.passed
    assert row.detail == f"{type(error).__name__}: {error}"
    assert str(row).startswith("FAIL")


def test_a_bug_in_a_case_ends_the_run() -> None:
    def check() -> str:
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        run_case("scan", "rustypot", check)


def test_requirements_name_what_was_found_and_what_should_be() -> None:
    require(True, "not said")
    require_same("bytes", b"\xff", b"\xff")
    with pytest.raises(Mismatch, match=r"^the servo is gone$"):
        require(False, "the servo is gone")
    with pytest.raises(Mismatch, match=r"^bytes: ff 01, should be ff 02$"):
        require_same("bytes", b"\xff\x01", b"\xff\x02")

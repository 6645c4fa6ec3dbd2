"""`robot-mbrl move` on an arm that lies folded: what would drive it into the table is refused before it is asked."""

import pytest

from tests.cli.program import Standing, Untouched, assert_one_line, run_here


@pytest.mark.parametrize("answer", [(), ("--yes",)])
def test_a_folded_arm_is_not_swung_into_the_table(
    answer: tuple[str, ...], so101: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--joint", "shoulder_lift", "--to", "-0.8", *answer)
    with Untouched(so101):
        outcome = run_here(capsys, "move", *so101.flags(), *flags)
    assert_one_line(outcome, 8, "shoulder_lift at -", "table - ", "mm apart", "raise the arm first")
    assert outcome.out == ""
    assert not any(so101.torque())

"""The stop proof's table: the worst of all runs, and everything that is not as it must be."""

import dataclasses
import json
from typing import Any

import pytest

from robot_mbrl.benchmarks.stop_proof.campaign import KINDS, Run
from robot_mbrl.benchmarks.stop_proof.criteria import Violation, rest_due, violations
from robot_mbrl.benchmarks.stop_proof.kinds import Kind
from robot_mbrl.benchmarks.stop_proof.measures import Measures
from robot_mbrl.benchmarks.stop_proof.report import as_html, as_json, rows, summary
from robot_mbrl.benchmarks.stop_proof.settling import Settling

LATE = "rest later than 300 ms, and than the arm needs"
KIND = Kind("cut", "wire", "the <wire> is cut", lambda _stage: None)
FALLING = dataclasses.replace(KIND, excuses={Violation.LATE: "it <falls>", Violation.TORQUE: "it has none"})
QUICK = Settling(best=0.05, median=0.1, worst=0.14)
SLOW = Settling(best=0.2, median=0.35, worst=0.4)
PUSHED = dataclasses.replace(KIND, lasts=0.5, force="too strong")
GOOD = Measures(
    hidden=0.0,
    to_verdict=0.01,
    to_rest=0.12,
    to_stillness=0.5,
    distance=0.1,
    torque_kept=True,
    latched=True,
    moved_after_latch=False,
    drift=0.001,
    speed=1.0,
    last=0,
    late_way=0.0,
    late_play=0.01,
    forced=0.0,
)


def runs(*measures: Measures | None, needs: Settling = QUICK) -> list[Run]:
    return [Run("cut", seed, needs, one, error="" if one else "no port") for seed, one in enumerate(measures)]


def test_there_are_at_least_thirty_kinds_with_names_of_their_own() -> None:
    assert len(KINDS) >= 30
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_a_row_has_the_worst_of_all_runs() -> None:
    worse = dataclasses.replace(GOOD, to_rest=0.25, distance=0.3)
    (row,) = rows([KIND], runs(GOOD, worse, GOOD))
    assert (row.runs, row.to_verdict, row.to_rest, row.distance) == (3, 0.01, 0.25, 0.3)
    assert row.failures == ()


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({"to_rest": None}, LATE),
        ({"to_rest": 0.301}, LATE),
        ({"torque_kept": False}, "torque not as configured"),
        ({"moved_after_latch": True}, "moved after the latch"),
        ({"latched": False}, "ended unlatched"),
    ],
)
def test_one_bad_run_fails_its_kind(change: dict[str, Any], failure: str) -> None:
    bad = dataclasses.replace(GOOD, **change)
    (row,) = rows([KIND], runs(GOOD, bad))
    assert row.failures == (failure,)
    soon = 2 if failure != LATE else 1
    told = f"0 of 1 kinds of fault stop as they must; 2 of 2 runs were made, {soon} at rest within 300 ms"
    assert summary([KIND], runs(GOOD, bad)) == told


def test_a_late_run_names_the_joint_that_was_last_and_its_play() -> None:
    late = dataclasses.replace(GOOD, to_rest=0.372, last=4, late_way=0.021, late_play=0.017)
    (row,) = rows([KIND], runs(GOOD, late))
    told = "it went 0.021 rad after 300 ms, its gear has 0.017 of play; by itself this arm takes 50 to 140 ms"
    assert row.late == (f"seed 1: at rest after 372 ms, wrist_roll last; {told}",)
    assert told in as_html([KIND], runs(GOOD, late), "a machine")


def test_never_is_worse_than_any_time() -> None:
    (row,) = rows([KIND], runs(GOOD, dataclasses.replace(GOOD, to_rest=None)))
    assert row.to_rest is None


def test_physics_excuses_the_criteria_that_it_forbids_and_no_other() -> None:
    bad = dataclasses.replace(GOOD, to_rest=None, torque_kept=False)
    (row,) = rows([FALLING], runs(GOOD, bad))
    assert row.failures == ()
    assert [excuse.runs for excuse in row.excuses] == [1, 1]
    (row,) = rows([FALLING], runs(dataclasses.replace(bad, moved_after_latch=True, latched=False)))
    assert row.failures == ("moved after the latch", "ended unlatched")


def test_a_run_that_rode_through_its_fault_has_no_excuse() -> None:
    """What was measured is an emergency stop of an arm that nothing is wrong with."""
    (late,) = runs(dataclasses.replace(GOOD, to_rest=0.4, torque_kept=False))
    (row,) = rows([FALLING], [late, dataclasses.replace(late, rode_through=True)])
    assert row.failures == (LATE, "torque not as configured")
    assert [excuse.runs for excuse in row.excuses] == [1, 1]


def test_rest_is_due_when_the_arm_can_be_there_by_itself() -> None:
    """A slow arm: 0.4 s after a verdict that came after 0.01 s; half of 300 ms at most is granted for the verdict."""
    assert rest_due(GOOD, QUICK) == pytest.approx(0.3)
    assert rest_due(GOOD, SLOW) == pytest.approx(0.41)
    for to_verdict in (0.2, None):
        assert rest_due(dataclasses.replace(GOOD, to_verdict=to_verdict), SLOW) == pytest.approx(0.55)
    in_time, late = dataclasses.replace(GOOD, to_rest=0.409), dataclasses.replace(GOOD, to_rest=0.411)
    assert rows([KIND], runs(in_time, needs=SLOW))[0].failures == ()
    assert rows([KIND], runs(late, needs=SLOW))[0].failures == (LATE,)
    assert "0 at rest within 300 ms" in summary([KIND], runs(in_time, needs=SLOW))
    page = as_html([KIND], runs(in_time, needs=SLOW), "a machine")
    assert "seed 0: 200 to 400 ms (median 350)" in page


def test_a_push_has_to_end_in_rest_as_soon_as_it_is_over_and_the_joint_can_be_back() -> None:
    """Pushed for 0.5 s, judged after 0.01 s; the arm takes 0.4 s from the end of such a push: rest is due after 0.9."""
    pushed = dataclasses.replace(GOOD, forced=0.5, to_rest=0.899)
    assert rest_due(pushed, SLOW) == pytest.approx(0.9)
    assert rows([PUSHED], runs(pushed, needs=SLOW))[0].failures == ()
    late = dataclasses.replace(pushed, to_rest=0.901)
    assert rows([PUSHED], runs(late, needs=SLOW))[0].failures == (LATE,)
    assert "it went 0.000 rad after 800 ms" in rows([PUSHED], runs(late, needs=SLOW))[0].late[0]
    moved = dataclasses.replace(pushed, moved_after_latch=True)
    assert rows([PUSHED], runs(moved, needs=SLOW))[0].failures == ("moved after the latch",)
    assert "judged from 500 ms after the fault on: too strong" in as_html([PUSHED], runs(pushed), "a machine")
    assert as_json([PUSHED], runs(pushed))["kinds"][0]["force"] == "too strong"


def test_every_excuse_names_its_criterion_and_its_reason() -> None:
    fallen = runs(dataclasses.replace(GOOD, to_rest=None))
    told = json.loads(json.dumps(as_json([FALLING], fallen)))
    assert told["kinds"][0]["excuses"] == [
        {"violation": LATE, "reason": "it <falls>", "runs": 1},
        {"violation": "torque not as configured", "reason": "it has none", "runs": 0},
    ]
    assert told["runs"][0]["violations"] == [LATE]
    page = as_html([FALLING], fallen, "a machine")
    assert "rest later than 300 ms, and than the arm needs, excused in 1 runs: it &lt;falls&gt;" in page
    assert "torque not as configured, excused in 0 runs: it has none" in page


def test_no_kind_excuses_more_than_its_physics_forbids() -> None:
    """Torque goes where a servo restarts or protects itself; only under a load that it cannot carry an arm sinks on."""
    assert all(reason for kind in KINDS for reason in kind.excuses.values())
    excusing = {violation: {kind.name for kind in KINDS if violation in kind.excuses} for violation in Violation}
    falling = {"overload", "disconnect", "brown-out", "power loss", "overheat"}
    assert excusing == {
        Violation.LATE: {"duplicate id", "payload"} | falling,
        Violation.TORQUE: {"brown-out", "overheat"},
        Violation.MOVED: {"payload"},
        Violation.UNLATCHED: set(),
    }
    assert all(bool(kind.lasts) == bool(kind.force) for kind in KINDS)


def test_a_good_run_violates_nothing_and_a_bad_one_everything() -> None:
    assert violations(GOOD, QUICK) == ()
    bad = dataclasses.replace(GOOD, to_rest=0.301, torque_kept=False, moved_after_latch=True, latched=False)
    assert violations(bad, QUICK) == tuple(Violation)


def test_a_run_that_was_not_made_is_no_success() -> None:
    (row,) = rows([KIND], runs(GOOD, None))
    assert row.failures == ("no port",)
    (row,) = rows([KIND], [])
    assert row.failures == ("no run",)


def test_json_has_every_run_and_html_is_escaped() -> None:
    told = json.loads(json.dumps(as_json([KIND], runs(GOOD, None))))
    assert [one["error"] for one in told["runs"]] == ["", "no port"]
    assert told["kinds"][0]["to_rest"] == 0.12
    page = as_html([KIND], runs(GOOD), "a machine")
    assert "the &lt;wire&gt; is cut" in page
    assert '<td class="number">120</td>' in page

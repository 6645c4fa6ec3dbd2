"""The stop proof's table: the worst of all runs, and everything that is not as it must be."""

import dataclasses
import json
from typing import Any

import pytest

from robot_mbrl.benchmarks.stop_proof.campaign import KINDS, Run
from robot_mbrl.benchmarks.stop_proof.kinds import Kind
from robot_mbrl.benchmarks.stop_proof.measures import Measures
from robot_mbrl.benchmarks.stop_proof.report import as_html, as_json, rows, summary

KIND = Kind("cut", "wire", "the <wire> is cut", lambda _stage: None)
FALLING = dataclasses.replace(KIND, physics="it falls")
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
)


def runs(*measures: Measures | None) -> list[Run]:
    return [Run("cut", seed, one, error="" if one else "no port") for seed, one in enumerate(measures)]


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
        ({"to_rest": None}, "rest later than 300 ms"),
        ({"to_rest": 0.301}, "rest later than 300 ms"),
        ({"torque_kept": False}, "torque not as configured"),
        ({"moved_after_latch": True}, "moved after the latch"),
        ({"latched": False}, "ended unlatched"),
    ],
)
def test_one_bad_run_fails_its_kind(change: dict[str, Any], failure: str) -> None:
    bad = dataclasses.replace(GOOD, **change)
    (row,) = rows([KIND], runs(GOOD, bad))
    assert row.failures == (failure,)
    assert summary([KIND], runs(GOOD, bad)) == "0 of 1 kinds of fault stop as they must (2 of 2 runs were made)"


def test_a_late_run_names_the_joint_that_was_last_and_its_play() -> None:
    late = dataclasses.replace(GOOD, to_rest=0.372, last=4, late_way=0.021, late_play=0.017)
    (row,) = rows([KIND], runs(GOOD, late))
    told = "it went 0.021 rad after 300 ms, its gear has 0.017 of play"
    assert row.late == (f"seed 1: at rest after 372 ms, wrist_roll last; {told}",)
    assert told in as_html([KIND], runs(GOOD, late), "a machine")


def test_never_is_worse_than_any_time() -> None:
    (row,) = rows([KIND], runs(GOOD, dataclasses.replace(GOOD, to_rest=None)))
    assert row.to_rest is None


def test_physics_excuses_motion_but_no_missing_latch() -> None:
    (row,) = rows([FALLING], runs(dataclasses.replace(GOOD, to_rest=None, torque_kept=False, moved_after_latch=True)))
    assert row.failures == ()
    (row,) = rows([FALLING], runs(dataclasses.replace(GOOD, latched=False)))
    assert row.failures == ("ended unlatched",)


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

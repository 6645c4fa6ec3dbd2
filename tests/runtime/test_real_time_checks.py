"""What `doctor` says of real time: what was asked for, what was refused and how to get it, and the promise."""

import os
from collections.abc import Callable

from robot_mbrl.commissioning.check import Status
from robot_mbrl.runtime.real_time import STEPS, RealTimeSettings, Step
from robot_mbrl.runtime.real_time_checks import check_real_time


def refuse(_: RealTimeSettings) -> Callable[[], object]:
    raise PermissionError(1, "Operation not permitted")


def test_what_is_refused_comes_with_its_price_and_its_remedy() -> None:
    given_back: list[str] = []
    steps = [
        Step("spoon", refuse, "buy one", 3e-3),
        Step("fork", lambda _: lambda: given_back.append("fork"), "bend one", 9e-3),
    ]
    spoon, fork, promise = check_real_time(steps)
    assert (spoon.name, spoon.status, spoon.remedy) == ("spoon", Status.WARN, "buy one")
    assert spoon.detail == "refused (Operation not permitted): without it ticks may begin 3 ms late"
    assert (fork.name, fork.status, fork.remedy) == ("fork", Status.OK, "")
    assert given_back == ["fork"]
    assert promise.status is Status.WARN
    assert "within 3 ms" in promise.detail
    assert "1 of 2" in promise.detail


def test_a_machine_that_grants_everything_makes_the_best_promise() -> None:
    fork, promise = check_real_time([Step("fork", lambda _: lambda: None, "bend one", 9e-3)])
    assert (fork.status, promise.status) == (Status.OK, Status.OK)
    assert "within 0.1 ms" in promise.detail


def test_everything_that_a_control_process_asks_for_is_looked_at_and_given_back() -> None:
    before = os.sched_getscheduler(0), os.sched_getaffinity(0)
    *checks, promise = check_real_time()
    assert [check.name for check in checks] == [step.name for step in STEPS]
    assert promise.name == "real time"
    assert (os.sched_getscheduler(0), os.sched_getaffinity(0)) == before

"""What is taken from the machine is given back; what is refused is said, and lowers the promise."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robot_mbrl.runtime.real_time import (
    BEST_LATENESS,
    STEPS,
    RealTime,
    RealTimeSettings,
    Step,
    choose_cpu,
    unbound_workers,
)


def state() -> tuple[object, ...]:
    return (os.sched_getscheduler(0), os.sched_getaffinity(0), gc.isenabled(), len(os.listdir("/proc/self/fd")))


def slack() -> int:
    """Timer slack of this thread [ns]; the kernel gives a thread under SCHED_FIFO none."""
    with open("/proc/self/timerslack_ns", encoding="ascii") as file:
        return int(file.read())


def step(name: str) -> Step:
    return next(step for step in STEPS if step.name == name)


def test_everything_is_given_back() -> None:
    before, frozen, slack_before = state(), gc.get_freeze_count(), slack()
    with RealTime(RealTimeSettings()):
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert slack() <= 1
    assert state() == before
    assert gc.get_freeze_count() == frozen
    assert slack() == slack_before


def test_everything_is_given_back_after_an_exception() -> None:
    before = state()
    with pytest.raises(ZeroDivisionError), RealTime(RealTimeSettings()):
        raise ZeroDivisionError
    assert state() == before


def test_each_step_is_either_taken_or_warned_about() -> None:
    taken: list[str] = []

    def recorded(step: Step) -> Step:
        def take(settings: RealTimeSettings) -> Callable[[], object]:
            undo = step.take(settings)
            taken.append(step.name)
            return undo

        return step._replace(take=take)

    with RealTime(RealTimeSettings(), [recorded(step) for step in STEPS]) as claim:
        warned = [step.name for step in STEPS if any(step.name in line for line in claim.warnings)]
    assert sorted(taken + warned) == sorted(step.name for step in STEPS)


def test_fifo_is_the_threads_own_and_not_its_childrens() -> None:
    with RealTime(RealTimeSettings(priority=5), [step("SCHED_FIFO")]) as claim:
        if claim.warnings:
            pytest.skip(claim.warnings[0])
        assert os.sched_getscheduler(0) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        assert os.sched_getparam(0).sched_priority == 5
        child = os.fork()
        if child == 0:
            os._exit(os.sched_getscheduler(0))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == os.SCHED_OTHER


RIGHTS_GONE = """
import os
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings, only
before = os.sched_getscheduler(0)
with RealTime(RealTimeSettings(), only("SCHED_FIFO")) as claim:
    print(claim.warnings, os.sched_getscheduler(0) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == before)
"""
"""A user without rights may take SCHED_FIFO under `RLIMIT_RTPRIO`; this one has it before it gives up its rights."""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_the_priority_is_given_back_without_rights() -> None:
    done = subprocess.run([sys.executable, "-c", RIGHTS_GONE], capture_output=True, text=True, check=False)
    if "SCHED_FIFO" in done.stdout:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] True\nTrue\n"


def refuse(_: RealTimeSettings) -> Callable[[], object]:
    raise PermissionError(1, "Operation not permitted")


def test_a_refusal_is_one_line_with_a_remedy_and_lowers_the_promise() -> None:
    undone: list[str] = []
    steps = [
        Step("spoon", refuse, "buy one", 3e-3),
        Step("fork", lambda _: lambda: undone.append("fork"), "bend one", 9e-3),
    ]
    with RealTime(RealTimeSettings(), steps) as claim:
        assert claim.warnings == ["real time: no spoon (Operation not permitted): buy one"]
        assert claim.lateness == 3e-3
        assert (
            claim.promise() == "1 of 2 real-time measures refused: on an idle computer ticks should begin within 3 ms"
        )
    assert undone == ["fork"]


def test_the_best_promise_needs_everything() -> None:
    with RealTime(RealTimeSettings(), []) as claim:
        assert claim.lateness == BEST_LATENESS
        assert claim.promise() == "no real-time measures refused: on an idle computer ticks should begin within 0.1 ms"
    assert all(step.lateness > BEST_LATENESS for step in STEPS)


def test_what_the_settings_forgo_is_warned_about_too() -> None:
    settings, before = RealTimeSettings(priority=0, lock_memory=False), os.sched_getscheduler(0)
    with RealTime(settings, [step("SCHED_FIFO"), step("locked memory")]) as claim:
        assert len(claim.warnings) == 2
        assert os.sched_getscheduler(0) == before


def test_a_core_that_does_not_exist_is_refused() -> None:
    with RealTime(RealTimeSettings(cpu=4095), [step("core of its own")]) as claim:
        assert len(claim.warnings) == 1
        assert "core" in claim.warnings[0]


@pytest.mark.parametrize(
    ("allowed", "isolated", "chosen"),
    [({0, 1}, "", 1), ({0}, "", 0), ({0, 1, 2, 3}, "1-2\n", 2), ({0, 1, 2, 3}, "0,2", 2), ({0, 1}, "4-7", 1)],
)
def test_an_isolated_core_is_preferred(allowed: set[int], isolated: str, chosen: int) -> None:
    assert choose_cpu(allowed, isolated) == chosen


def test_only_worker_threads_that_no_core_owns_are_found(tmp_path: Path) -> None:
    for pid, name in {
        7: "kworker/u8:1-events_unbound",
        12: "kworker/0:2-events",
        3: "kworker/u9:0",
        44: "python3",
    }.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n", encoding="utf-8")
    assert unbound_workers(tmp_path) == [3, 7]


def test_worker_threads_are_hastened_and_given_back() -> None:
    with RealTime(RealTimeSettings(serial_priority=3), [step("prompt serial ports")]) as claim:
        if claim.warnings:
            pytest.skip(claim.warnings[0])
        workers = [pid for pid in unbound_workers() if Path(f"/proc/{pid}").exists()]
        hastened = [pid for pid in workers if os.sched_getscheduler(pid) == os.SCHED_FIFO]
        assert hastened
    assert all(os.sched_getscheduler(pid) == os.SCHED_OTHER for pid in hastened if Path(f"/proc/{pid}").exists())

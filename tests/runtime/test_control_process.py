"""The control process as the supervisor starts it: over its channels, its signals and its exit code."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import ACTION_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.control_process import READY, BeatingClock, main
from robot_mbrl.runtime.requests import RequestSender

PATIENCE = 60.0
"""For anything to happen, on a machine that is busy with other things [s]."""


class Control:
    """A control process on the twin, and the supervisor's side of its channels."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.session = Session(name)
        self.frames = self.session.subscriber("frame")
        self._requests, self._actions = RequestSender(self.session), self.session.publisher("action")
        # A busy machine takes more than one core's worth of time from a test: patience is not what is tested here.
        loop = {"rate": 50.0, "policy_rate": 10.0, "missed_limit": 1.0}
        slow = {"stop": 5.0}
        safety = {"timing": {"lateness": slow, "missed_ticks": {"stop": 0.99}}, "plausibility": {"age": slow}}
        self.settings = {
            "session": name,
            "robot": {"kind": "twin"},
            "loop": loop,
            "log": str(folder),
            "real_time": {"priority": 0, "lock_memory": False, "spin": 0.0},
            "safety": safety,
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "robot_mbrl.runtime.control_process", json.dumps(self.settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def await_ready(self) -> None:
        """Read what it says until it is ready."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith(READY):
                return
        raise AssertionError(self.process.communicate())

    def until(self, state: ControlState, request: Request | None = None, *, acting: bool = False) -> Record:
        """Ask again and again, until a frame is in `state`."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if request is not None:
                self.ask(request)
            if acting:
                self.act()
            time.sleep(0.02)
            for frame in self.frames.drain():
                if frame["state"][0] == state:
                    return frame
        raise AssertionError(f"not {state.name} within {PATIENCE} s: {self.process.poll()}")

    def ask(self, request: Request) -> None:
        """Send a request."""
        self._requests.send(request, time.monotonic_ns())

    def act(self) -> None:
        """Send an action that holds the park pose of the SO-101."""
        record = empty(ACTION_DTYPE)
        record["stamp_ns"] = time.monotonic_ns()
        record["expires_ns"] = time.monotonic_ns() + to_ns(1.9)
        record["position"][0, :6] = [0.0, -1.72, 1.6, 0.87, 0.0, 0.0]
        self._actions.send(record)

    def close(self) -> None:
        """End what is left."""
        self.process.kill()
        self.process.communicate()
        self.session.close()


@pytest.fixture
def control(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Control]:
    """A control process that was just started, with the settings that a test is parametrised with."""
    control = Control(tmp_path, **getattr(request, "param", {}))
    try:
        yield control
    finally:
        control.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_mid_run_is_a_controlled_stop(control: Control, number: signal.Signals) -> None:
    control.await_ready()
    control.until(ControlState.ARMED, Request.ARM)
    control.until(ControlState.RUNNING, Request.RUN, acting=True)
    control.process.send_signal(number)
    control.until(ControlState.STOPPED)
    assert control.process.wait(PATIENCE) == 0
    last = control.frames.newest()
    assert last is None or last["state"][0] == ControlState.STOPPED
    assert sum("real time" in line for line in control.said) >= 2


@pytest.mark.parametrize("control", [{"park": True, "release": True}], indirect=True)
def test_it_parks_and_lets_go_where_the_settings_say_so(control: Control) -> None:
    control.await_ready()
    control.until(ControlState.ARMED, Request.ARM)
    control.ask(Request.QUIT)
    control.until(ControlState.PARKING)
    assert control.process.wait(PATIENCE) == 0
    last = control.frames.newest()
    assert last is not None
    assert last["state"][0] == ControlState.IDLE
    assert np.isnan(last["goal_position"]).all()


def test_an_expired_action_stops_and_latches(control: Control) -> None:
    control.await_ready()
    control.until(ControlState.ARMED, Request.ARM)
    control.until(ControlState.RUNNING, Request.RUN, acting=True)
    control.until(ControlState.STOPPED)
    control.until(ControlState.IDLE, Request.RESET)
    control.ask(Request.QUIT)
    assert control.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"robot": {"kind": "twin", "arm": "no_such_arm"}}, "no_such_arm"),
        ({"robot": {"kind": "serial", "arm": "so101_follower", "port": "x"}, "loop": {"rate": 900.0}}, "900 Hz"),
        ({"safety": {"nonsense": 1}}, "nonsense"),
        ({"ensemble": "no-such.onnx"}, "no-such.onnx"),
        ({"loop": {"rate": 20.0, "policy_rate": 50.0}}, "policy_rate"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_settings_are_refused_in_one_line(
    change: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"session": f"test-{uuid.uuid4().hex[:12]}", "robot": {"kind": "twin"}, "log": str(tmp_path), **change}
    assert main([json.dumps(settings)]) == 3
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_drivers_clock_beats_before_it_waits() -> None:
    class Recorder:
        def now_ns(self) -> int:
            return 7

        def sleep_until_ns(self, deadline_ns: int) -> None:
            order.append(f"wait {deadline_ns}")

    order: list[str] = []
    clock = BeatingClock(Recorder())
    clock.sleep_until_ns(1)
    clock.beat = lambda: order.append("beat")
    clock.sleep_until_ns(2)
    assert clock.now_ns() == 7
    assert order == ["wait 1", "beat", "wait 2"]

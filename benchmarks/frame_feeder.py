"""Sends frames of a moving arm at a control loop's pace, in a process of its own that can be killed.

`python -m robot_mbrl.benchmarks.frame_feeder JSON`, with `FeederSettings`. SIGTERM ends it: it then prints as JSON how
many frames it sent and what sending cost.
"""

import json
import signal
import sys
import time
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import Ticker
from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.drivers.arms import RAD_PER_TICK
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.parent import end_with_parent
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings

READY: Final = "feeder ready"
JOINTS: Final = 6
_MOTION: Final = 1000
"""Frames that are prepared and then sent again and again."""


class FeederSettings(Settings):
    """What to send.

    Attributes:
        session: name of the channels.
        rate: frames a second [Hz].
    """

    session: str
    rate: float = 1000.0


def motion(random: np.random.Generator) -> list[Record]:
    """Frames of an arm that swings, with an encoder's steps and noise in what servos measure: they compress badly."""
    frames = []
    for index in range(_MOTION):
        frame = empty(FRAME_DTYPE)
        phase = 2.0 * np.pi * index / _MOTION * np.arange(1, JOINTS + 1)
        goal = 0.5 * np.sin(phase)
        measured = np.round((goal + random.normal(0.0, 1e-3, JOINTS)) / RAD_PER_TICK) * RAD_PER_TICK
        frame["joints"] = JOINTS
        frame["state"] = ControlState.RUNNING
        frame["speed_scale"] = 1.0
        frame["position"][0, :JOINTS] = measured
        for name in ("reported_velocity", "velocity", "load", "current"):
            frame[name][0, :JOINTS] = random.normal(0.0, 0.3, JOINTS)
        frame["temperature"][0, :JOINTS] = 31.0
        frame["voltage"][0, :JOINTS] = 7.4
        for name in ("action_position", "goal_position", "requested_position", "executed_position"):
            frame[name][0, :JOINTS] = goal
        frames.append(frame)
    return frames


def feed(settings: FeederSettings) -> None:
    """Send frames until SIGTERM."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    frames = motion(np.random.default_rng(0))
    costs: list[int] = []
    # As in a control process: what sending costs depends on who else has the core.
    with RealTime(RealTimeSettings()) as real_time, Session(settings.session) as session:
        clock = real_time.clock()
        publisher = session.publisher("frame")
        print(READY, flush=True)
        ticker = Ticker(1.0 / settings.rate, clock)
        while not ending:
            ticker.wait()
            frame = frames[len(costs) % _MOTION]
            now_ns = clock.now_ns()
            frame["tick"], frame["missed_ticks"] = len(costs) + 1, ticker.missed
            frame["deadline_ns"], frame["wake_ns"] = ticker.deadline_ns, now_ns
            frame["stamp_ns"] = frame["write_ns"] = frame["action_ns"] = now_ns
            frame["health_ns"][0, :JOINTS] = now_ns
            before = time.perf_counter_ns()
            publisher.send(frame)
            costs.append(time.perf_counter_ns() - before)
    median, most, largest = np.percentile(costs, [50, 99, 100]) * 1e-9
    print(json.dumps({"sent": len(costs), "p50": median, "p99": most, "max": largest}), flush=True)


def main(arguments: list[str]) -> None:
    """Feed the session that the JSON in `arguments` describes."""
    end_with_parent(signal.SIGKILL)
    feed(FeederSettings.model_validate_json(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])

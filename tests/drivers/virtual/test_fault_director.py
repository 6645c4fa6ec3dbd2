"""Faults that begin and end at their time, and scenario files."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.config import load_settings, parse_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.virtual import faults
from robot_mbrl.drivers.virtual.fault_director import FaultDirector
from robot_mbrl.drivers.virtual.faults import Scenario
from robot_mbrl.drivers.virtual.wire_faults import Drop, TimedFault
from tests.drivers.virtual.workbench import Workbench

PONG = codec.status(1, 0)


class Cable:
    """A cable that knows whether it is plugged in."""

    def __init__(self) -> None:
        self.plugged = True

    def plug(self) -> None:
        self.plugged = True

    def unplug(self) -> None:
        self.plugged = False


class Stage:
    """An arm, its cable and a director, at a time that only `at` moves."""

    def __init__(self) -> None:
        self.bench = Workbench("so101_follower")
        self.cable = Cable()
        self.director = FaultDirector(self.bench.arm, self.cable)

    def begin(self, fault: TimedFault) -> None:
        self.director.schedule(fault, self.bench.now_ns)

    def wait(self, seconds: float) -> None:
        self.bench.run(seconds)
        self.director.run(self.bench.now_ns)

    def ping(self, servo_id: int = 1) -> bytes:
        return self.bench.ask(codec.ping(servo_id))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_fault_begins_at_its_time_and_ends_after_its_duration(stage: Stage) -> None:
    stage.begin(faults.Silent(servo="shoulder_pan", at=0.5, duration=0.25))
    assert stage.director.next_ns == to_ns(0.5)
    stage.wait(0.4)
    assert stage.ping() == PONG
    stage.wait(0.15)
    assert stage.ping() == b""
    stage.wait(0.25)
    assert stage.ping() == PONG
    assert stage.director.next_ns is None


def test_a_wire_fault_can_be_timed_too(stage: Stage) -> None:
    stage.begin(Drop(duration=0.1))
    assert stage.ping() == b""
    stage.wait(0.2)
    assert stage.ping() == PONG


def test_events_run_in_order_of_time_not_of_the_file(stage: Stage) -> None:
    stage.begin(faults.Payload(mass=0.2, at=0.2))
    stage.begin(faults.Payload(mass=0.1, at=0.1))
    stage.wait(0.15)
    assert stage.bench.plant.payload == 0.1
    stage.wait(0.1)
    assert stage.bench.plant.payload == 0.2


def test_usb_latency_and_back(stage: Stage) -> None:
    stage.begin(faults.UsbLatency(seconds=0.016, duration=1.0))
    assert stage.bench.arm.bus.usb_latency == 0.016
    stage.wait(1.0)
    assert stage.bench.arm.bus.usb_latency == 0.0


def test_unplug_drops_what_is_under_way_and_replugs_by_itself(stage: Stage) -> None:
    stage.bench.send(codec.ping(1))
    stage.begin(faults.Unplug(duration=0.3))
    assert not stage.cable.plugged
    assert stage.bench.arm.bus.next_event_ns() is None
    stage.wait(0.3)
    assert stage.cable.plugged


def test_replug_by_hand(stage: Stage) -> None:
    stage.begin(faults.Unplug())
    stage.wait(1.0)
    assert not stage.cable.plugged
    stage.begin(faults.Replug())
    assert stage.cable.plugged


def test_brown_out_restarts_the_servos(stage: Stage) -> None:
    stage.bench.ask(codec.write(1, 40, b"\x01"))
    stage.begin(faults.BrownOut(duration=0.05))
    stage.wait(0.05)
    assert stage.ping() == b""
    assert stage.bench.plant.state.voltage[0] == 7.4
    stage.wait(0.9)
    assert stage.ping() == PONG
    assert stage.bench.servo().get("torque_enable") == 0


def test_a_disconnected_servo_starts_afresh(stage: Stage) -> None:
    stage.bench.ask(codec.write(1, 40, b"\x01"))
    stage.begin(faults.Disconnect(servo="shoulder_pan"))
    assert stage.ping() == b""
    stage.wait(0.1)
    stage.begin(faults.Connect(servo="shoulder_pan"))
    stage.wait(0.9)
    assert stage.ping() == PONG
    assert stage.bench.servo().get("torque_enable") == 0


def test_overload_shows_in_the_status(stage: Stage) -> None:
    stage.begin(faults.Overload(servo="elbow_flex"))
    assert stage.ping(3) == codec.status(3, codec.StatusBit.OVERLOAD)


def test_overheat_shows_in_the_status(stage: Stage) -> None:
    stage.begin(faults.Overheat(servo="elbow_flex", temperature=95.0))
    stage.wait(0.01)
    assert stage.ping(3) == codec.status(3, codec.StatusBit.OVERHEAT)
    assert stage.bench.servo(2).get("present_temperature") == 95


def test_duplicate_id_and_back(stage: Stage) -> None:
    stage.begin(faults.DuplicateIdFault(servo="elbow_flex", of="shoulder_pan", duration=1.0))
    assert codec.Decoder().feed(stage.ping(1)) == []
    assert stage.ping(3) == b""
    stage.wait(1.0)
    assert stage.ping(1) == PONG
    assert stage.ping(3) == codec.status(3, 0)


def test_stuck_joint_push_and_friction_reach_the_plant(stage: Stage) -> None:
    stage.begin(faults.Stuck(servo="wrist_roll", duration=0.5))
    stage.begin(faults.Push(servo="gripper", torque=-0.3, duration=0.2))
    stage.begin(faults.Friction(servo="elbow_flex", scale=3.0, duration=0.5))
    plant = stage.bench.plant
    assert list(plant.stuck) == [False, False, False, False, True, False]
    assert plant.pushes == [(5, -0.3, 0.2)]
    assert plant.friction[2] == 3.0
    stage.wait(0.5)
    assert not plant.stuck.any()
    assert plant.friction[2] == 1.0


def test_an_unknown_servo_is_named(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="has no servo 'elbow': give one of shoulder_pan"):
        stage.begin(faults.Stuck(servo="elbow"))


def test_a_scenario_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(
        """
seed: 7
events:
  - {at: 1.0, fault: stuck, servo: elbow_flex, duration: 2.0}
  - {fault: flip, probability: 0.01, direction: both}
  - {at: 3.0, fault: usb_latency, seconds: 0.016}
""",
        encoding="utf-8",
    )
    scenario = load_settings(path, Scenario)
    assert scenario.seed == 7
    assert [type(event).__name__ for event in scenario.events] == ["Stuck", "Flip", "UsbLatency"]
    assert [event.at for event in scenario.events] == [1.0, 0.0, 3.0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("events: [{fault: earthquake}]", "earthquake"),
        ("events: [{fault: stuck, servo: elbow_flex, strength: 3}]", "unknown key"),
        ("events: [{fault: drop, probability: 1.5}]", "probability"),
        ("events: [{fault: stuck}]", "servo is missing"),
    ],
)
def test_a_wrong_scenario_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_settings(text, Scenario, "scenario.yaml")

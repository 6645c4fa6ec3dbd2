"""Letting go of emulated arms in lockstep, also when a servo is missing."""

import pytest

from robot_mbrl.contracts.errors import BusError
from robot_mbrl.drivers.dialects import arm_servos, dialect_of
from robot_mbrl.drivers.torque import release
from tests.drivers.emulated import EmulatedArm, emulated_arm

ARMS = pytest.mark.parametrize("name", ["so101_follower", "koch_follower"])
ELBOW = 2


def held(name: str) -> EmulatedArm:
    """An arm that holds its pose, and has no bus watchdog that would let go by itself."""
    emulated = emulated_arm(name)
    emulated.robot.connect()
    emulated.robot.set_torque(enabled=True)
    assert emulated.torque() == [1] * 6
    return emulated


@ARMS
def test_a_whole_arm_lets_go(name: str) -> None:
    emulated = held(name)
    release(emulated.bus, dialect_of(emulated.arm.protocol), arm_servos(emulated.arm))
    assert emulated.torque() == [0] * 6


@ARMS
def test_a_missing_servo_keeps_no_other_one_from_letting_go_and_is_named(name: str) -> None:
    emulated = held(name)
    emulated.virtual.servos[ELBOW].silent = True
    with pytest.raises(BusError, match=r"elbow_flex \(ID 3\) cannot be asked.*cut the arm's power"):
        release(emulated.bus, dialect_of(emulated.arm.protocol), arm_servos(emulated.arm))
    assert emulated.torque() == [0, 0, 1, 0, 0, 0]


def test_a_broadcast_that_noise_breaks_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated = held("so101_follower")
    broken = [True]
    send = emulated.wire.write

    def write(data: bytes) -> None:
        send(data[:-1] + bytes([data[-1] ^ 1]) if broken else data)
        broken.clear()

    monkeypatch.setattr(emulated.wire, "write", write)
    release(emulated.bus, dialect_of(emulated.arm.protocol), arm_servos(emulated.arm))
    assert emulated.torque() == [0] * 6

"""The bus benchmark counts the bytes that the wire-time formula counts."""

import random

import pytest

from robot_mbrl.benchmarks import driver_loop
from robot_mbrl.benchmarks.bus_loop import TRAFFIC
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.lockstep import LockstepWire
from robot_mbrl.drivers.virtual.timing import LineTiming
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.truth import nominal_truth

TURNAROUND = 95e-6


@pytest.mark.parametrize(("protocol", "size"), [("feetech", 14 + 72 + 50), ("dynamixel", 20 + 126 + 44)])
def test_a_cycle_has_the_published_number_of_bytes(protocol: str, size: int) -> None:
    assert TRAFFIC[protocol].wire_bytes(6) == size


@pytest.mark.parametrize(
    ("name", "size"), [("so101_follower", 14 + 72 + 8 + 6 * (1 + 2)), ("koch_follower", 20 + 126 + 44)]
)
def test_the_drivers_cycle_takes_the_time_of_its_bytes_and_turnarounds(name: str, size: int) -> None:
    """On a wire without a host, which costs nothing but what is on the line."""
    arm = load_arm(name)
    plant = MujocoPlant(arm, nominal_truth(arm))
    wire = LockstepWire(VirtualArm(arm, plant, timing=LineTiming(TURNAROUND), rng=random.Random(0)))
    loop = driver_loop.hold(arm, wire, BusSettings(), wire)
    assert loop.wire_bytes() == size
    figures = loop.run(1.0, 200.0, TURNAROUND)
    assert figures["cycles"] == 200
    assert figures["late_cycles"] == figures["failed_cycles"] == figures["missed_ticks"] == figures["retries"] == 0
    assert figures["formula_ms"] == pytest.approx(size * 0.01 + 6 * 0.095)
    # The rota asks one servo for a few bytes: two packets of some bytes and one turnaround.
    assert 0.095 + 0.14 < figures["rota_ms"] < 0.095 + 0.40
    assert figures["ratio"] == pytest.approx(1.0, abs=0.02)

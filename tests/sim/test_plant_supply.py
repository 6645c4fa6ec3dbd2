"""The plant's heat and supply against closed formulas."""

import math

import numpy as np
import pytest

from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.truth import nominal_truth
from tests.sim.plant_bench import (
    ROLL,
    SHOULDER_LIFT,
    N,
    R,
    V,
    plant_with,
    run,
    truth_with,
)


def test_steady_temperature_is_ambient_plus_loss_times_resistance() -> None:
    """I = 0.5 · 7.4 / 2.68 = 1.381 A heats 5.108 W: 25 °C + 5.108 W · 12.6 K/W = 89.4 °C."""
    plant = plant_with(truth_with(thermal_capacitance=0.01), free=())
    run(plant, 2.0, {ROLL: 0.5})
    expected = 25.0 + (0.5 * V / R) ** 2 * R * 12.6
    assert expected == pytest.approx(89.4, abs=0.1)
    assert plant.state.temperature[ROLL] == pytest.approx(expected, abs=0.05)
    assert plant.state.temperature[0] == pytest.approx(25.0, abs=1e-6)


def test_a_hot_servo_cools_with_its_time_constant() -> None:
    """After R_th C = 12.6 · 0.02 = 0.252 s, 1/e of the difference to ambient is left."""
    plant = plant_with(truth_with(thermal_capacitance=0.02), free=())
    plant.set_temperature(2, 75.0)
    run(plant, 0.252)
    assert plant.state.temperature[2] == pytest.approx(25.0 + 50.0 / math.e, rel=2e-3)


@pytest.mark.parametrize(
    ("duty", "expected"),
    [
        ({ROLL: 1.0}, V / (1 + 0.1 / R)),
        ({ROLL: 0.5}, V / (1 + 0.1 * 0.25 / R)),
        ({ROLL: 1.0, 0: -1.0}, V / (1 + 0.2 / R)),
    ],
)
def test_the_supply_sags_by_resistance_times_current(duty: dict[int, float], expected: float) -> None:
    """A stalled motor at duty d draws d² V / R from the supply; one at -1 draws as much as one at +1."""
    plant = plant_with(truth_with({"supply_resistance": 0.1}), free=())
    run(plant, 0.05, duty)
    np.testing.assert_allclose(plant.state.voltage, expected, rtol=1e-5)


def test_rails_sag_apart() -> None:
    """Koch: the XL430s' 12 V rail does not feel the XL330s on 5 V; a plug of 4 V is all that both get."""
    arm = load_arm("koch_follower")
    plant = MujocoPlant(arm, nominal_truth(arm))
    for joint in range(N):
        plant.set_stuck(joint, stuck=True)
    run(plant, 0.05, {5: 1.0})
    np.testing.assert_allclose(plant.state.voltage[:2], 12.0)
    np.testing.assert_allclose(plant.state.voltage[2:], 5.0 / (1 + 0.1 / 4.02), rtol=1e-4)
    plant.set_supply(4.0)
    run(plant, 0.05)
    np.testing.assert_allclose(plant.state.voltage, 4.0)


def test_a_pulled_plug_opens_all_bridges() -> None:
    plant = plant_with(truth_with({"gravity": 9.81}), free=(SHOULDER_LIFT,))
    plant.set_supply(0.0)
    run(plant, 0.2, {SHOULDER_LIFT: -1.0})
    assert not plant.state.voltage.any()
    assert np.abs(plant.state.current).max() < 1e-20
    assert plant.state.velocity[SHOULDER_LIFT] > 0.1
    plant.set_supply(V)
    run(plant, 0.2, {SHOULDER_LIFT: -1.0})
    assert plant.state.velocity[SHOULDER_LIFT] < -0.1

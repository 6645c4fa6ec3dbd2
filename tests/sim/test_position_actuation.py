"""Position actuation against the equations of the servo that it stands for."""

import mujoco
import numpy as np
import pytest

from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.truth import nominal_truth


@pytest.mark.parametrize("velocity", [0.0, 1.0, -1.0, 4.0])
@pytest.mark.parametrize("error", [0.0, 0.05, 0.3, 1.2, -0.7])
def test_torque_is_that_of_a_motor_whose_duty_follows_the_error(velocity: float, error: float) -> None:
    """`K/R (clip(P g V e, ±V) - K ω)`: the back-EMF brakes, also where the error is 0."""
    arm = load_arm("so101_follower")
    truth = nominal_truth(arm).without_backlash()
    model = build_model(arm, truth, actuation="position")
    data = mujoco.MjData(model)
    data.qvel[0], data.ctrl[0] = velocity, error
    mujoco.mj_forward(model, data)
    joint, supply = truth.joints[0], 7.4
    volts = np.clip(16 * joint.position_gain * supply * error, -supply, supply)
    expected = joint.torque_constant / joint.resistance * (volts - joint.torque_constant * velocity)
    assert data.actuator_force[0] == pytest.approx(expected, rel=1e-6, abs=1e-12)

"""Flights of an arm whose joints follow their goals with a lag, `q' = (g - q) / LAG`, logs of them, and its model."""

from pathlib import Path

import numpy as np

from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, empty
from robot_mbrl.data.flight_log import FlightLog
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.ensemble_export import EnsembleWeights, write_ensemble
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from tests.data.flights import header

LAG = 0.05
"""[s]"""
RATE = 200.0
NOISE = 1e-3
"""Of measured angles [rad] and, thirtyfold, of velocities [rad/s]."""
JOINTS = 6
ARM = load_arm("so101_follower")
PERIOD = 0.05
"""Of the model below [s]."""
VARIANCE = 1e-4
"""That it predicts for angles [rad²]."""


def flight(seed: int, seconds: float = 2.0, lag: float = LAG) -> FrameArray:
    """Frames of an episode: each joint's goal goes along a sum of two sines of its own."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    time = np.arange(count) / RATE
    phase, frequency = random.uniform(0.0, 2.0 * np.pi, (2, JOINTS)), random.uniform(0.3, 1.0, (2, JOINTS))
    goal = 0.4 * np.sin(2.0 * np.pi * frequency[:, None] * time[:, None] + phase[:, None]).sum(axis=0)
    true = np.zeros((count, JOINTS))
    true[0] = goal[0]
    for tick in range(1, count):
        true[tick] = goal[tick] + (true[tick - 1] - goal[tick]) * np.exp(-1.0 / RATE / lag)
    frames: FrameArray = np.repeat(empty(FRAME_DTYPE), count)
    frames["tick"] = np.arange(count)
    frames["deadline_ns"] = frames["wake_ns"] = np.round(1e9 * time).astype(np.int64) + 1_000_000_000
    frames["stamp_ns"] = frames["wake_ns"] + 300_000
    frames["joints"], frames["state"] = JOINTS, ControlState.RUNNING
    frames["reason"] = -1
    frames["position"][:, :JOINTS] = true + random.normal(0.0, NOISE, true.shape)
    frames["velocity"][:, :JOINTS] = (goal - true) / lag + random.normal(0.0, 30.0 * NOISE, true.shape)
    for name in ("goal_position", "requested_position", "executed_position", "action_position"):
        frames[name][:, :JOINTS] = goal
    return frames


def write_log(path: Path, frames: FrameArray, **changed: object) -> Path:
    """A log of `frames` at `path`, whose name is its flight's; `changed` are fields of the header."""
    log = FlightLog(path, header(**{"flight": path.stem, **changed}))
    log.write(frames)
    log.close()
    return path


def write_model(path: Path) -> Path:
    """What the lagging arm does with a goal that stays, in closed form: `q + (g - q)(1 - e)`, `v = e (g - q) / LAG`."""
    n, decay = JOINTS, float(np.exp(-PERIOD / LAG))
    matrix = np.zeros((3 * n, 4 * n))
    rows = np.arange(n)
    matrix[rows, rows], matrix[2 * n + rows, rows] = decay - 1.0, 1.0 - decay
    matrix[rows, n + rows], matrix[2 * n + rows, n + rows] = -decay / LAG, decay / LAG
    matrix[n + rows, n + rows] = -1.0
    biases = np.concatenate([np.zeros(2 * n), np.full(n, np.log(VARIANCE)), np.full(n, np.log(0.05))])
    spread = np.zeros((2, 4 * n))
    spread[0, :n], spread[1, :n] = 1e-4, -1e-4
    weights = EnsembleWeights(np.zeros(3 * n), np.ones(3 * n), [np.stack([matrix, 1.001 * matrix])], [biases + spread])
    write_ensemble(path, weights, EnsembleDescription(joint_names=ARM.joint_names, period=PERIOD, scale=2 * n * (1.0,)))
    return path

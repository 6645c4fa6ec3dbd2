"""The monitor benchmark measures all checks: its motion is one that the monitor passes."""

import numpy as np

from robot_mbrl.benchmarks.monitor_cost import (
    ARM,
    AT_200_HZ,
    AT_PACE,
    BOUND,
    IN_BURSTS,
    UNCERTAINTY,
    measure,
    nominal_frames,
    table,
)
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.sim.geometry import MujocoGeometry


def test_the_motion_moves_all_joints_and_passes() -> None:
    arm = load_arm(ARM)
    frames = list(nominal_frames(arm, 1500))
    path = np.array([frame["requested_position"][0, : len(arm.joints)] for frame in frames])
    assert (np.ptp(path, axis=0) > 0.05).all()
    monitor = build_monitor(arm, MujocoGeometry(arm), {"uncertainty": UNCERTAINTY})
    for frame in frames:
        frame["disagreement"] = frame["residual"] = 1.0
        assert monitor.judge(frame).level == VerdictLevel.PASS
    assert {"disagreement", "residual"} <= set(monitor.check_names)


def test_the_figures_are_of_one_tick_and_its_parts() -> None:
    figures = measure(0.2)
    for manner in (IN_BURSTS, AT_PACE, AT_200_HZ):
        everything, ensemble, checks = (
            figures[f"{part}, {manner}"]["p50"] for part in ("everything", "ensemble", "checks")
        )
        assert everything > max(ensemble, checks)
    for row in figures.values():
        assert 0.0 < row["p50"] <= row["p99"] <= row["max"]


def test_the_table_says_whether_the_bound_is_kept() -> None:
    kept = {"p50": 1.0, "p99": BOUND * 1e6, "max": 999.0}
    figures = {f"everything, {IN_BURSTS}": kept, f"everything, {AT_PACE}": kept | {"p99": BOUND * 1e6 + 0.1}}
    assert [line.split()[-3] for line in table(figures).splitlines()[-2:]] == ["within", "ABOVE"]

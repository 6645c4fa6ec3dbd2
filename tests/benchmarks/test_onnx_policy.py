"""The policy benchmark compares one policy with itself: steps of the same network, whose actions use their range."""

import pytest
import torch

from robot_mbrl.benchmarks.onnx_policy import BOUND, EAGER, EXPORTED, lively_model, measure, table
from robot_mbrl.learning.dreamer_export import DreamerStep, dreamer_states
from robot_mbrl.sim.tasks import make_task


def test_the_policys_actions_use_their_range() -> None:
    model = lively_model(make_task("reach"), seed=0)
    states = [torch.zeros(state.shape) for state in dreamer_states(model)]
    with torch.inference_mode():
        action = DreamerStep(model)(torch.randn(1, 24), torch.ones(1), *states)[0]
    assert float(action.abs().max()) > 0.5


def test_the_figures_are_of_one_policy_in_two_runtimes() -> None:
    figures = measure(0.1, parity_steps=50)
    assert figures["difference"] < 1e-4
    assert 0.0 < figures["drift"] < 1e-3
    assert figures["bytes"] > 1_000_000
    for row in figures["times"].values():
        assert 0.0 < row["p50"] <= row["p99"] <= row["max"]


@pytest.mark.parametrize(("p99", "word"), [(BOUND * 1e6, "within"), (BOUND * 1e6 + 0.1, "ABOVE")])
def test_the_table_says_whether_the_bound_is_kept(p99: float, word: str) -> None:
    row = {"p50": 1.0, "p99": p99, "max": 999.0}
    figures = {"difference": 1e-6, "drift": 2e-5, "parity_steps": 10, "bytes": 1, "times": {EXPORTED: row, EAGER: row}}
    told = table(figures)
    assert f"p99 in onnxruntime is {word} 150 µs" in told
    assert "1e-06, 2e-05 when either goes on" in told

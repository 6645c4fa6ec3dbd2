"""The fitting benchmark fits what it says, tests on other rows, and leaves torch's threads as they were."""

import numpy as np
import torch

from robot_mbrl.benchmarks.ensemble_fitting import TEST_ROWS, collect, measure, table
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.policies.ensemble import EnsembleSettings

SMALL = EnsembleSettings(members=2, elites=2, hidden=(16,), weight_decay=(0.0, 0.0), epochs=3)


def test_test_rows_are_others_than_those_fitted() -> None:
    data = collect(make_learning_task("reach"), 150)
    assert (len(data.inputs), len(data.targets)) == (150, 150)
    assert (len(data.test_inputs), len(data.test_targets)) == (TEST_ROWS, TEST_ROWS)
    both = np.concatenate((data.inputs, data.test_inputs))
    assert len(np.unique(both, axis=0)) == 150 + TEST_ROWS


def test_measure_reports_every_contestant() -> None:
    threads, told = torch.get_num_threads(), list[str]()
    figures = measure(200, {"one": SMALL, "two": SMALL.model_copy(update={"batch_size": 10})}, told.append)
    assert torch.get_num_threads() == threads
    assert told == ["one", "two"] == list(figures)
    assert all(row["epochs"] == 3.0 and row["seconds"] > 0.0 and row["gflops"] > 0.0 for row in figures.values())
    assert figures["one"]["test_error"] != figures["two"]["test_error"]
    assert all(name in table(figures) for name in figures)

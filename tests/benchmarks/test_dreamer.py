"""The Dreamer benchmark: its figures belong together, its products are counted rightly, its child is asked rightly."""

import os
import subprocess
from typing import Any

import pytest
import torch

from robot_mbrl.benchmarks import dreamer, dreamer_updates
from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.policies.dreamer import PHASES
from robot_mbrl.policies.dreamer_settings import DreamerSettings

SMALL = DreamerSettings(deter=8, hidden=4, latents=2, classes=2, blocks=2, units=4, imagination=2, precision="float32")


def test_a_small_dreamer_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dreamer_updates, "STEPS", 4)
    figures = dreamer_updates.measure(SMALL, torch.device("cpu"), seconds=0.0)
    assert (figures["precision"], figures["kernel"]) == ("float32", "torch")
    assert figures["updates"] >= 1
    assert figures["gflop_per_second"] == pytest.approx(figures["gflop"] * figures["updates_per_second"])
    assert set(figures["phases"]) == set(PHASES)
    assert sum(figures["phases"].values()) == pytest.approx(1.0)
    assert len(figures["operators"]) == 10


def answer(**figures: Any) -> dict[str, Any]:
    made = {"precision": "bfloat16", "kernel": "torch", "phases": {"imagine": 1.0}, "operators": {"aten::mm": 0.5}}
    known = {"updates_per_second": 4.54, "gflop": 30.0, "gflop_per_second": 136.2, "first": 60.0, "processor": 0.3}
    return made | known | figures


def test_rows_are_named_by_size_and_manner_and_compared_with_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        assert env["OMP_PROC_BIND"] == "true"
        assert command[command.index("--threads") + 1] == str(len(os.sched_getaffinity(0)))
        return subprocess.CompletedProcess(command, 0, stdout=f"{answer()}\n".replace("'", '"'))

    monkeypatch.setattr(subprocess, "run", run)
    figures = dreamer.measure(5.0, ("1M", "12M"))
    assert list(figures) == ["1M, compiled, bfloat16, torch", "12M, compiled, bfloat16, torch"]
    assert figures["1M, compiled, bfloat16, torch"]["peer_ratio"] == pytest.approx(2.0)
    assert "peer_ratio" not in figures["12M, compiled, bfloat16, torch"]
    assert [command[command.index("--size") + 1] for command in asked] == ["1M", "12M"]
    text = dreamer.table(figures)
    assert "2.00x" in text
    assert "50.0 %  aten::mm" in text


def test_a_measurement_that_ends_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess(["python"], 3, stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ProcessFailed, match="ended with 3"):
        dreamer.measure(1.0)

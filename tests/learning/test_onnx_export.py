"""A recurrent policy answers in onnxruntime as it does in torch, and its file tells nothing of where it was made."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.onnx_export import OPSET, export_step, largest_difference
from robot_mbrl.policies.bundle import read_bundle, write_bundle
from robot_mbrl.policies.bundle_manifest import POLICY
from robot_mbrl.policies.onnx_step import OnnxStep
from tests.learning.recurrent_step import SmallStep, small_states
from tests.policies.synthetic_bundles import SIZE, description

ACTIONS = 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a `SmallStep`."""
    folder = tmp_path_factory.mktemp("export") / "bundle"
    content = export_step(SmallStep(SIZE, ACTIONS), SIZE, small_states(ACTIONS))
    write_bundle(folder, description(states=small_states(ACTIONS), opset=OPSET), {POLICY: content})
    return folder


def test_thousand_recurrent_steps_are_the_same(exported: Path) -> None:
    step = OnnxStep(read_bundle(exported))
    assert largest_difference(SmallStep(SIZE, ACTIONS), step, 1000, np.random.default_rng(0)) < 1e-5


def test_running_free_they_stay_together(exported: Path) -> None:
    step = OnnxStep(read_bundle(exported))
    free = [
        largest_difference(SmallStep(SIZE, ACTIONS, seed=seed), step, 1000, np.random.default_rng(0), free=True)
        for seed in (0, 1)
    ]
    assert free[0] < 1e-4
    assert free[1] > 1e-2


def test_another_network_is_not_the_same(exported: Path) -> None:
    """Else the comparison compares nothing."""
    step = OnnxStep(read_bundle(exported))
    assert largest_difference(SmallStep(SIZE, ACTIONS, seed=1), step, 10, np.random.default_rng(0)) > 1e-2


def test_a_network_that_forgets_at_other_times_is_not_the_same(exported: Path) -> None:
    class Forgetful(SmallStep):
        def forward(
            self, observation: Tensor, is_first: Tensor, hidden: Tensor, latent: Tensor, action: Tensor
        ) -> tuple[Tensor, ...]:
            return super().forward(observation, torch.ones_like(is_first), hidden, latent, action)

    step = OnnxStep(read_bundle(exported))
    assert largest_difference(Forgetful(SIZE, ACTIONS), step, 10, np.random.default_rng(0)) > 1e-3


class Rooted(SmallStep):
    """Tells the root of its first observed number as one of its answers: NaN for half of all observations."""

    place = 0

    def forward(
        self, observation: Tensor, is_first: Tensor, hidden: Tensor, latent: Tensor, action: Tensor
    ) -> tuple[Tensor, ...]:
        answer = list(super().forward(observation, is_first, hidden, latent, action))
        answer[self.place] = answer[self.place] + 0.0 * observation[0, 0].sqrt()
        return tuple(answer)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_numbers_that_are_not_finite_are_no_small_difference(tmp_path: Path, place: int) -> None:
    network = Rooted(SIZE, ACTIONS)
    network.place = place
    content = export_step(network, SIZE, small_states(ACTIONS))
    write_bundle(tmp_path / "bundle", description(states=small_states(ACTIONS), opset=OPSET), {POLICY: content})
    step = OnnxStep(read_bundle(tmp_path / "bundle"))
    assert largest_difference(network, step, 20, np.random.default_rng(0)) == math.inf


@pytest.mark.parametrize("head", ["critic", "latent"])
def test_another_value_or_doubt_is_not_the_same(exported: Path, head: str) -> None:
    """The likeliest class stays what it was, and its chance changes."""
    network = SmallStep(SIZE, ACTIONS)
    with torch.no_grad():
        getattr(network, head).weight.mul_(2.0)
        getattr(network, head).bias.mul_(2.0)
    assert largest_difference(network, OnnxStep(read_bundle(exported)), 10, np.random.default_rng(0)) > 1e-3


def test_value_and_doubt_are_those_of_torch(exported: Path) -> None:
    step, network = OnnxStep(read_bundle(exported)), SmallStep(SIZE, ACTIONS)
    step.observation[:] = 0.5
    step.step()
    with torch.inference_mode():
        zeros = [torch.zeros(state.shape) for state in step.states]
        answer = network(torch.full((1, SIZE), 0.5), torch.ones(1), *zeros)
    assert float(step.value[0]) == pytest.approx(float(answer[1][0]), abs=1e-6)
    assert float(step.doubt[0]) == pytest.approx(float(answer[2][0]), abs=1e-6)


def test_the_file_says_nothing_of_the_computer_that_wrote_it(exported: Path) -> None:
    content = (exported / POLICY).read_bytes()
    assert b".py" not in content
    assert [entry.version for entry in onnx.load_from_string(content).opset_import] == [OPSET]


def test_the_same_weights_give_the_same_file(exported: Path) -> None:
    again = export_step(SmallStep(SIZE, ACTIONS), SIZE, small_states(ACTIONS))
    assert again == (exported / POLICY).read_bytes()


def test_what_cannot_be_exported_is_told_in_one_line() -> None:
    class Branching(nn.Module):
        def forward(self, observation: Tensor, is_first: Tensor) -> tuple[Tensor, ...]:
            sign = 1.0 if float(observation.sum()) > 0.0 else -1.0
            return sign * observation[:, :2], is_first, is_first

    with pytest.raises(ConfigError, match="policy: torch cannot export it to ONNX") as caught:
        export_step(Branching(), SIZE, ())
    assert "\n" not in str(caught.value)

"""The packed copy of an ensemble computes what the ensemble does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies import packed_ensemble
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.native_kernel import KERNEL
from robot_mbrl.policies.native_library import COMPILERS, has_fast_bfloat16, native_instructions, native_reason
from robot_mbrl.policies.packed_ensemble import Kernel, PackedEnsemble, best_kernel

needs_native = pytest.mark.skipif(bool(native_reason(KERNEL)), reason=native_reason(KERNEL))
NATIVE = pytest.param("native", 0.02, marks=needs_native)
NATIVE_CARRIED = pytest.param("native", 0.15, marks=needs_native)
NATIVE_KERNEL = pytest.param("native", marks=needs_native)


def scaled_ensemble(hidden: tuple[int, ...] = (40, 40)) -> ProbabilisticEnsemble:
    """Three members with scalers that matter, of which two predict."""
    settings = EnsembleSettings(members=3, elites=2, hidden=hidden, weight_decay=(0.0,) * (len(hidden) + 1))
    random = torch.Generator().manual_seed(0)
    ensemble = ProbabilisticEnsemble(6, 4, settings, random)
    ensemble.elites = torch.tensor([2, 0])
    ensemble.input_mean = torch.tensor([1.0, -2.0, 0.0, 5.0, 0.0, 100.0])
    ensemble.input_deviation = torch.tensor([0.1, 2.0, 1.0, 3.0, 1.0, 7.0])
    ensemble.output_mean = torch.tensor([0.5, 0.0, -1.0, 2.0])
    ensemble.output_deviation = torch.tensor([0.01, 1.0, 20.0, 3.0])
    with torch.no_grad():
        for bias in ensemble.biases:
            bias.normal_(0.0, 0.3, generator=random)
    return ensemble


def inputs_of(ensemble: ProbabilisticEnsemble, rows: int) -> Tensor:
    noise = torch.randn(rows, ensemble.inputs, generator=torch.Generator().manual_seed(1))
    return ensemble.input_mean + ensemble.input_deviation * noise


@pytest.mark.parametrize(("kernel", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02), NATIVE])
@pytest.mark.parametrize("hidden", [(40, 40), (16,), ()])
@pytest.mark.parametrize("rows", [1, 7, 8, 16, 17, 47, 48, 49, 65, 100])
@torch.no_grad()
def test_it_gives_the_elites_means_and_deviations(
    kernel: Kernel, tolerance: float, hidden: tuple[int, ...], rows: int
) -> None:
    """Compared in the outputs' own scales: bfloat16 keeps 8 bits, an error of some thousandths after a few layers."""
    ensemble = scaled_ensemble(hidden)
    x = inputs_of(ensemble, rows)
    mean, log_variance = ensemble(x.expand(3, rows, 6))
    packed = PackedEnsemble(ensemble, kernel)
    packed_mean, packed_deviation = packed(x.expand(2, rows, 6).contiguous())
    assert packed.members == 2
    scale = ensemble.output_deviation
    assert ((packed_mean - mean[[2, 0]]) / scale).abs().max().item() < tolerance
    assert ((packed_deviation - (0.5 * log_variance[[2, 0]]).exp()) / scale).abs().max().item() < tolerance


@torch.no_grad()
def test_bfloat16_sees_inputs_more_finely_than_its_own_eight_bits() -> None:
    """1 and 1.001 of a scaled input are one number in bfloat16; a linear net still tells them apart."""
    settings = EnsembleSettings(members=1, elites=1, hidden=(), weight_decay=(0.0,))
    ensemble = ProbabilisticEnsemble(1, 1, settings, torch.Generator().manual_seed(0))
    ensemble.weights[0][0] = torch.tensor([[64.0, 0.0]])
    ensemble.biases[0][0, 0] = torch.tensor([-64.0, 0.0])
    mean, _ = PackedEnsemble(ensemble, "bfloat16")(torch.tensor([[[1.0], [1.001]]]))
    assert mean.flatten().tolist() == pytest.approx([0.0, 0.064], rel=0.01)


def driven(ensemble: ProbabilisticEnsemble, particles: int, candidates: int, steps: int = 3) -> dict[str, Tensor]:
    """What `carry` takes: everything random and different, inputs as large as the ensemble's data."""
    random = torch.Generator().manual_seed(2)
    known = torch.randn(steps, candidates, ensemble.inputs, generator=random)
    matrix = 0.1 * torch.randn(ensemble.outputs, ensemble.inputs, generator=random) / ensemble.output_deviation[:, None]
    return {
        "start": torch.randn(ensemble.outputs, generator=random),
        "known": ensemble.input_mean + ensemble.input_deviation * known,
        "matrix": matrix * ensemble.input_deviation,
        "noise": torch.randn(steps, 2, particles, candidates, ensemble.outputs, generator=random),
    }


@pytest.mark.parametrize(("kernel", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.15), NATIVE_CARRIED])
@pytest.mark.parametrize(("particles", "candidates"), [(1, 1), (2, 3), (1, 8), (3, 16), (7, 7), (1, 65), (7, 15)])
@torch.no_grad()
def test_particles_are_carried_by_their_own_elite(
    kernel: Kernel, tolerance: float, particles: int, candidates: int
) -> None:
    """`x = z B + u`, `z' = z + mean + deviation ε`, worked out step by step with the ensemble itself.

    In bfloat16 each step is off by some thousandths of a mean and, ε times, of a deviation; they add up.
    """
    ensemble = scaled_ensemble()
    given = driven(ensemble, particles, candidates)
    learned = [given["start"].expand(2, particles, candidates, 4)]
    for u, draw in zip(given["known"], given["noise"], strict=True):
        x = (learned[-1] @ given["matrix"] + u).reshape(2, -1, 6)
        mean, log_variance = ensemble(torch.stack((x[1], torch.zeros_like(x[0]), x[0])))
        change = mean[[2, 0]] + (0.5 * log_variance[[2, 0]]).exp() * draw.reshape(2, -1, 4)
        learned.append(learned[-1] + change.view_as(draw))
    found = PackedEnsemble(ensemble, kernel).carry(**given)
    assert found.shape == (4, 2, particles, candidates, 4)
    assert ((found - torch.stack(learned)) / ensemble.output_deviation).abs().max().item() < tolerance


@pytest.mark.parametrize("kernel", ["float32", "bfloat16", NATIVE_KERNEL])
@torch.no_grad()
def test_noise_that_is_shared_needs_no_copies(kernel: Kernel) -> None:
    packed = PackedEnsemble(scaled_ensemble(), kernel)
    given = driven(scaled_ensemble(), 3, 5)
    shared = given["noise"][:, :1, :, :1].expand_as(given["noise"])
    assert torch.equal(packed.carry(**{**given, "noise": shared}), packed.carry(**{**given, "noise": shared.clone()}))


@pytest.mark.parametrize("kernel", ["float32", "bfloat16", NATIVE_KERNEL])
@torch.no_grad()
def test_a_candidate_that_is_not_finite_spoils_no_other(kernel: Kernel) -> None:
    given = driven(scaled_ensemble(), 2, 5)
    given["known"][1, 3, 0] = torch.nan
    finite = PackedEnsemble(scaled_ensemble(), kernel).carry(**given).isfinite().all(dim=-1)
    assert bool(finite[:2].all())
    assert finite[2:].any(dim=0).flatten(0, 1).tolist() == [[True, True, True, False, True]] * 4


@needs_native
@pytest.mark.parametrize("hidden", [(200, 200, 200, 200), (64, 96), (1024, 1024), (17,)])
@pytest.mark.parametrize("rows", [7, 8, 31, 96])
@torch.no_grad()
def test_the_native_kernel_follows_float32_at_every_width(hidden: tuple[int, ...], rows: int) -> None:
    ensemble = scaled_ensemble(hidden)
    x = inputs_of(ensemble, rows).expand(2, rows, 6).contiguous()
    native, exact = PackedEnsemble(ensemble, "native")(x), PackedEnsemble(ensemble, "float32")(x)
    for found, expected in zip(native, exact, strict=True):
        assert ((found - expected) / ensemble.output_deviation).abs().max().item() < 0.02


@needs_native
@torch.no_grad()
def test_a_row_of_the_native_kernel_does_not_depend_on_its_neighbours() -> None:
    """The last matrix tile of 40 rows is half empty; what an earlier call left there must not be seen."""
    ensemble = scaled_ensemble((200, 200))
    packed = PackedEnsemble(ensemble, "native")
    x = inputs_of(ensemble, 48).expand(2, 48, 6).contiguous()
    packed(torch.full_like(x, torch.nan))
    few, many = packed(x[:, :40].contiguous()), packed(x)
    assert all(torch.equal(part, whole[:, :40]) for part, whole in zip(few, many, strict=True))


@needs_native
@torch.no_grad()
def test_no_rows_give_no_answers() -> None:
    ensemble = scaled_ensemble()
    mean, deviation = PackedEnsemble(ensemble, "native")(torch.zeros(2, 0, 6))
    assert mean.shape == deviation.shape == (2, 0, 4)
    carried = PackedEnsemble(ensemble, "native").carry(**driven(ensemble, 2, 0))
    assert carried.shape == (4, 2, 2, 0, 4)


@needs_native
@torch.no_grad()
def test_the_native_kernel_takes_its_own_nets_inputs_only() -> None:
    packed = PackedEnsemble(scaled_ensemble(), "native")
    x = inputs_of(scaled_ensemble(), 9).expand(2, 9, 6)
    assert torch.equal(packed(x.double())[0], packed(x)[0])
    with pytest.raises(ConfigError, match=r"^inputs \(2, 9, 5\): give 2 nets, rows, 6 inputs$"):
        packed(x[..., :5])


REFUSING = """
#include <cerrno>
#include <cstdarg>
extern "C" long syscall(long, ...) { errno = EPERM; return -1; }
"""
"""Stands before the C library's and refuses what is asked of the kernel directly."""

FALLEN_BACK = """
import torch
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.native_kernel import KERNEL
from robot_mbrl.policies.native_library import native_instructions
from robot_mbrl.policies.packed_ensemble import PackedEnsemble
settings = EnsembleSettings(members=2, elites=2, hidden=(40, 40), weight_decay=(0.0,) * 3)
ensemble = ProbabilisticEnsemble(6, 4, settings, torch.Generator().manual_seed(0))
x = torch.randn(2, 50, 6)
with torch.no_grad():
    error = PackedEnsemble(ensemble, "native")(x)[0] - PackedEnsemble(ensemble, "float32")(x)[0]
print(native_instructions(KERNEL), error.abs().max().item() < 0.02)
"""


@needs_native
def test_without_the_systems_permission_matrix_tiles_are_left_alone(tmp_path: Path) -> None:
    if native_instructions(KERNEL) != "AMX_BF16":
        pytest.skip("the processor has no matrix tiles")
    library = tmp_path / "refusing.so"
    compiler = next(found for name in COMPILERS if (found := shutil.which(name)))
    command = [compiler, "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=REFUSING.encode(), check=True)
    told = subprocess.run(
        [sys.executable, "-c", FALLEN_BACK],
        env={**os.environ, "LD_PRELOAD": str(library)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == ["AVX512_BF16", "True"]


@needs_native
def test_the_native_kernel_names_its_instructions() -> None:
    assert native_instructions(KERNEL) in {"AMX_BF16", "AVX512_BF16"}


@needs_native
@torch.no_grad()
def test_the_native_kernel_bounds_log_variances_as_the_ensemble_does() -> None:
    """A net of weights 0 gives its biases: 20 log-variances from far below the lower to far above the upper bound."""
    settings = EnsembleSettings(members=1, elites=1, hidden=(), weight_decay=(0.0,))
    ensemble = ProbabilisticEnsemble(1, 20, settings, torch.Generator().manual_seed(0))
    ensemble.weights[0].zero_()
    ensemble.biases[0][0, 0, 20:] = torch.linspace(-60.0, 60.0, 20)
    x = torch.zeros(1, 1, 1)
    _, deviation = PackedEnsemble(ensemble, "native")(x)
    assert deviation.log().flatten().tolist() == pytest.approx((0.5 * ensemble(x)[1]).flatten().tolist(), abs=1e-5)


@pytest.mark.parametrize("kernel", ["float32", "bfloat16", NATIVE_KERNEL])
@torch.no_grad()
def test_a_nan_or_an_infinity_spoils_its_own_row_and_no_other(kernel: Kernel) -> None:
    ensemble = scaled_ensemble()
    x = inputs_of(ensemble, 9).repeat(2, 1, 1)
    x[0, 3, 2], x[1, 7, 0] = torch.nan, torch.inf
    mean, _ = PackedEnsemble(ensemble, kernel)(x)
    spoilt = (~mean.isfinite().all(dim=-1)).nonzero().tolist()
    assert spoilt == [[0, 3], [1, 7]]


@needs_native
def test_a_layer_that_the_native_kernel_has_no_room_for_is_left_to_torch() -> None:
    settings = EnsembleSettings(members=1, elites=1, hidden=(1040,), weight_decay=(0.0, 0.0))
    ensemble = ProbabilisticEnsemble(2, 1, settings, torch.Generator().manual_seed(0))
    assert best_kernel(ensemble) == "bfloat16"
    with pytest.raises(ConfigError, match=r"^a layer of 1040 columns: the native kernel has room for 1024$"):
        PackedEnsemble(ensemble, "native")


def test_a_native_kernel_that_cannot_be_had_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_ensemble, "native_reason", lambda _: "there is no compiler")
    with pytest.raises(ConfigError, match=r"^kernel native: there is no compiler; give auto, bfloat16 or float32$"):
        PackedEnsemble(scaled_ensemble(), "native")


@torch.no_grad()
def test_it_is_a_copy() -> None:
    ensemble = scaled_ensemble()
    x = inputs_of(ensemble, 3).expand(2, 3, 6).contiguous()
    packed = PackedEnsemble(ensemble, "float32")
    before = packed(x)[0]
    for parameter in ensemble.parameters():
        parameter.zero_()
    assert torch.equal(packed(x)[0], before)


def test_auto_takes_what_the_processor_has() -> None:
    ensemble = scaled_ensemble()
    expected = "float32" if not has_fast_bfloat16() else "bfloat16" if native_reason(KERNEL) else "native"
    assert best_kernel(ensemble) == expected
    assert PackedEnsemble(ensemble).kernel == expected

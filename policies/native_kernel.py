"""Builds and loads `ensemble_kernel.cpp`: all layers of all nets, and all steps, in one call instead of one by one.

The kernel is compiled for this very processor on first use, by the C++ compiler that is there, into the user's cache
folder (`$XDG_CACHE_HOME` or `~/.cache`, below it `robot_mbrl`). Without a compiler, or a processor that multiplies
bfloat16, `policies.packed_ensemble` goes on with torch's operators. Where there are matrix tiles (AMX_BF16), blocks of
8 rows and more go through them: 5 nets of 4x200 take 480 rows 6 times as fast as with AVX512_BF16 on the same Xeon.

Shapes: e nets, b rows, i inputs, o outputs; r particles a net, n candidates, h steps.
"""

import ctypes
import hashlib
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from torch import Tensor

from robot_mbrl.contracts.atomic_file import replacing
from robot_mbrl.contracts.errors import ConfigError

SOURCE: Final = "ensemble_kernel.cpp"
FLAGS: Final = ("-O3", "-std=c++17", "-march=native", "-fPIC", "-shared")
COMPILERS: Final = ("c++", "g++", "clang++")

WIDEST: Final = 1024
"""Columns of a layer that the kernel has room for."""

_LANES: Final = 16
_PANEL: Final = 64
"""Columns of a register and of a panel, as in the source."""


def has_fast_bfloat16() -> bool:
    """Whether this processor has AVX512_BF16; others emulate bfloat16, far slower than float32."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


@cache
def native_reason() -> str:
    """Why the kernel cannot be used here, in words; empty when it can."""
    if not has_fast_bfloat16():
        return "the processor has no AVX512_BF16"
    try:
        _library()
    except ConfigError as error:
        return str(error)
    return ""


def native_instructions() -> str:
    """What the kernel multiplies with on this computer: "AMX_BF16" or "AVX512_BF16".

    Raises:
        ConfigError: the kernel cannot be built.
    """
    return "AMX_BF16" if _library().uses_matrix_tiles() else "AVX512_BF16"


class Scales(NamedTuple):
    """What turns inputs into a net's and its outputs back: float32, in the order and with the meaning of the source.

    Attributes:
        input_factor: (i,) 1 / input_deviation.
        input_offset: (i,) -input_mean / input_deviation.
        output_mean: (o,).
        output_deviation: (o,).
        max_log_variance: (o,).
        min_log_variance: (o,).
    """

    input_factor: Tensor
    input_offset: Tensor
    output_mean: Tensor
    output_deviation: Tensor
    max_log_variance: Tensor
    min_log_variance: Tensor


Layers: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Weight (inputs, outputs) and bias (outputs,) of each layer of a net, float32."""


class NativeNets:
    """Nets of equal sizes, packed for the kernel."""

    def __init__(self, nets: Sequence[Layers], scales: Scales) -> None:
        """Pack `nets`.

        Raises:
            ConfigError: the kernel cannot be built, or a layer is too wide.
        """
        library = _library()
        self._evaluate, self._carry = library.evaluate_nets, library.carry_particles
        inputs, self._outputs = len(scales.input_factor), len(scales.output_mean)
        widths = [weight.shape[1] for weight, _ in nets[0]]
        if max(2 * inputs, *widths) > WIDEST:
            raise ConfigError(f"a layer of {max(2 * inputs, *widths)} columns: the native kernel has room for {WIDEST}")
        step = library.input_multiple()
        padded = [_up(2 * inputs, step), *(_up(width, math.lcm(step, _LANES)) for width in widths)]
        # Kept, because the kernel is told their addresses.
        self._weights, self._biases, self._scales = [], [], [scale.contiguous() for scale in scales]
        for net in nets:
            for layer, (weight, bias) in enumerate(net):
                # The inputs come as two parts of 8 bits each, which meet the same weights.
                parts = weight.repeat(2, 1) if layer == 0 else weight
                self._weights.append(_packed(parts, padded[layer], padded[layer + 1]))
                self._biases.append(torch.nn.functional.pad(bias, (0, padded[layer + 1] - len(bias))))
        addresses = (_addresses(tensors) for tensors in (self._weights, self._biases, self._scales))
        self._taken = len(nets), inputs
        sizes = (len(nets), len(widths), inputs, self._outputs)
        self._nets = (*sizes, (ctypes.c_int32 * len(padded))(*padded), *addresses)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (e, b, o) for inputs (e, b, i). Frees the interpreter's lock while it computes.

        Raises:
            ConfigError: the inputs are of other nets.
        """
        x = x.float().contiguous()
        nets, rows, width = x.shape
        if (nets, width) != self._taken:
            raise ConfigError(f"inputs {tuple(x.shape)}: give {self._taken[0]} nets, rows, {self._taken[1]} inputs")
        mean, deviation = torch.empty(2, nets, rows, self._outputs).unbind()
        self._evaluate(*self._nets, _address(x), rows, _address(mean), _address(deviation))
        return mean, deviation

    def carry(self, start: Tensor, known: Tensor, matrix: Tensor, noise: Tensor) -> Tensor:
        """See `packed_ensemble.PackedEnsemble.carry`. Frees the interpreter's lock while it computes."""
        steps, _, particles, candidates, _ = noise.shape
        if noise.stride(-1) != 1:
            noise = noise.contiguous()
        known, matrix = known.contiguous(), matrix.contiguous()
        learned = torch.empty(steps + 1, *noise.shape[1:])
        learned[0] = start
        strides = (ctypes.c_int64 * 4)(*noise.stride()[:4])
        given = (_address(matrix), _address(known), _address(noise), strides)
        self._carry(*self._nets, *given, steps, particles, candidates, _address(learned))
        return learned


def _packed(weight: Tensor, inputs: int, outputs: int) -> Tensor:
    """`weight` padded to (inputs, outputs), in bfloat16, panel by panel; a column's weights for two inputs adjoin."""
    padded = torch.nn.functional.pad(weight, (0, outputs - weight.shape[1], 0, inputs - weight.shape[0]))
    pairs = padded.view(inputs // 2, 2, outputs)
    panels = [pairs[..., first : first + _PANEL].transpose(1, 2).reshape(-1) for first in range(0, outputs, _PANEL)]
    return torch.cat(panels).bfloat16()


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _addresses(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


@cache
def _library() -> ctypes.CDLL:
    """The loaded kernel.

    Raises:
        ConfigError: there is no compiler, it failed, or its product cannot be loaded.
    """
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise ConfigError(f"no C++ compiler ({', '.join(COMPILERS)}) is on the path: install one for the native kernel")
    source = (files("robot_mbrl.policies") / SOURCE).read_bytes()
    processor = " ".join(sorted(name for name, has in torch.cpu.get_capabilities().items() if has is True))
    recipe = " ".join((compiler, *FLAGS, platform.machine(), processor)).encode()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot_mbrl"
    library = root / f"ensemble_kernel-{hashlib.sha256(source + recipe).hexdigest()[:16]}.so"
    try:
        if not library.exists():
            _compile(compiler, source, library)
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.CalledProcessError) as error:
        told = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise ConfigError(f"{library}: cannot be built with {compiler} ({' '.join(told.split())[:200]})") from error


def _compile(compiler: str, source: bytes, library: Path) -> None:
    """Compile into a draft that takes the library's place, so that nobody ever loads half a library."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with replacing(library) as draft:
        command = [compiler, *FLAGS, "-x", "c++", "-", "-o", str(draft)]
        subprocess.run(command, input=source, check=True, capture_output=True)

"""Builds and loads the kernels that lie beside this module as C++.

A kernel is compiled for this very processor on first use, by the C++ compiler that is there, into the user's cache
folder (`$XDG_CACHE_HOME` or `~/.cache`, below it `robot_mbrl`). All of them need a processor that multiplies bfloat16.
"""

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from robot_mbrl.contracts.atomic_file import replacing
from robot_mbrl.contracts.errors import ConfigError

FLAGS: Final = ("-O3", "-std=c++17", "-march=native", "-fopenmp", "-fPIC", "-shared")
"""Threads are OpenMP's, and so torch's own ones: it has loaded their library before."""
COMPILERS: Final = ("c++", "g++", "clang++")

_INCLUDE: Final = re.compile(rb'#include "(.+)"')

LANES: Final = 16
"""Columns of a register, as in the sources."""
PANEL: Final = 64
"""Columns of a panel of packed weights."""


def has_fast_bfloat16() -> bool:
    """Whether this processor has AVX512_BF16; others emulate bfloat16, far slower than float32."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


@cache
def native_reason(source: str) -> str:
    """Why the kernel of this name cannot be used here, in words; empty when it can."""
    if not has_fast_bfloat16():
        return "the processor has no AVX512_BF16"
    try:
        native_library(source)
    except ConfigError as error:
        return str(error)
    return ""


def native_instructions(source: str) -> str:
    """What the kernel multiplies with on this computer: "AMX_BF16" or "AVX512_BF16".

    Raises:
        ConfigError: the kernel cannot be built.
    """
    return "AMX_BF16" if native_library(source).uses_matrix_tiles() else "AVX512_BF16"


@cache
def native_library(source: str) -> ctypes.CDLL:
    """The loaded kernel.

    Raises:
        ConfigError: there is no compiler, it failed, or its product cannot be loaded.
    """
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise ConfigError(f"no C++ compiler ({', '.join(COMPILERS)}) is on the path: install one for the native kernel")
    text = _whole(source)
    processor = " ".join(sorted(name for name, has in torch.cpu.get_capabilities().items() if has is True))
    recipe = " ".join((compiler, *FLAGS, platform.machine(), processor)).encode()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot_mbrl"
    library = root / f"{Path(source).stem}-{hashlib.sha256(text + recipe).hexdigest()[:16]}.so"
    try:
        if not library.exists():
            _compile(compiler, text, library)
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.CalledProcessError) as error:
        told = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise ConfigError(f"{library}: cannot be built with {compiler} ({' '.join(told.split())[:200]})") from error


def address(tensor: Tensor) -> ctypes.c_void_p:
    """Where its numbers begin."""
    return ctypes.c_void_p(tensor.data_ptr())


def addresses(tensors: Sequence[Tensor]) -> Any:
    """Where the numbers of each begin, as an array."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def rounded_up(number: int, step: int) -> int:
    """The least multiple of `step` that is not below `number`."""
    return -(-number // step) * step


def _whole(source: str) -> bytes:
    """A kernel's text with our headers in their places: it goes to the compiler as a stream, which has no folder."""
    text = (files("robot_mbrl.policies") / source).read_bytes()
    return _INCLUDE.sub(lambda found: _whole(found[1].decode()), text)


def _compile(compiler: str, text: bytes, library: Path) -> None:
    """Compile into a draft that takes the library's place, so that nobody ever loads half a library."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with replacing(library) as draft:
        command = [compiler, *FLAGS, "-x", "c++", "-", "-o", str(draft)]
        subprocess.run(command, input=text, check=True, capture_output=True)

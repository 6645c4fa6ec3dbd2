"""Reads what training wrote as safetensors: named tensors and metadata. No pickle."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors in `path`.

    Raises:
        ConfigError: there is no such file, or it is none of this kind, or cut short.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"{path}: cannot be read as safetensors ({error}): give a file that training wrote, or copy it again"
        ) from error

"""Commands that need more than a robot computer's installation: one line instead of an import error."""

import importlib
import importlib.util
from typing import Any, Final

from robot_mbrl.contracts.errors import ConfigError

TRAINING: Final = ("torch", "safetensors", "tensorboard")
"""What the extra `train` installs and its commands import."""


def needs_training(command: str, module: str) -> Any:
    """The module `module` of `robot_mbrl.cli`, which does the work of `command` and imports torch.

    Raises:
        ConfigError: a library for training is missing.
    """
    missing = [name for name in TRAINING if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{command} needs {', '.join(missing)}, not installed here: pip install 'robot-mbrl[train]'")
    return importlib.import_module(f"robot_mbrl.cli.{module}")

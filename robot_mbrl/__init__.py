"""Train in MuJoCo, deploy on a serial-bus arm, keep learning on it, and stop when the model is out of its depth."""

from importlib.metadata import version

__version__ = version("robot-mbrl")

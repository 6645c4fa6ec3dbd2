"""The trained policy that ships with the project, if this installation has one."""

from importlib import resources
from pathlib import Path

from robot_mbrl.policies.bundle import MANIFEST


def shipped_bundle() -> Path | None:
    """Folder of the bundle for the task `reach`; None where none ships."""
    folder = Path(str(resources.files("robot_mbrl"))) / "bundles" / "reach"
    return folder if (folder / MANIFEST).is_file() else None

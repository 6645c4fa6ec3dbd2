"""One throw-away virtual environment for each peer: two of them install the same module, so none may share."""

import subprocess
import sys
import venv
from importlib.resources import files
from pathlib import Path

PEERS = {
    "dynamixel-sdk": "dynamixel_peer",
    "feetech-servo-sdk": "scservo_peer",
    "ftservo-python-sdk": "scservo_peer",
    "rustypot": "rustypot_peer",
    "rustypot-before-121": "rustypot_peer",
}
"""Each peer's module in `peers/`; its pinned distributions are in `requirements/<peer>.txt`."""

DEFAULT_ROOT = Path(".crosscheck")


def requirements(peer: str) -> str:
    """The pinned distributions of `peer`, as pip reads them."""
    return (files("robot_mbrl.benchmarks.crosscheck") / "requirements" / f"{peer}.txt").read_text(encoding="utf-8")


def interpreter(peer: str, root: Path = DEFAULT_ROOT) -> Path:
    """The Python of `peer`'s environment under `root`, whether it exists or not."""
    return root.absolute() / peer / "bin" / "python"


def is_ready(peer: str, root: Path = DEFAULT_ROOT) -> bool:
    """Whether `peer`'s environment holds exactly the pinned distributions."""
    stamp = root / peer / "requirements.txt"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == requirements(peer)


def prepare(peer: str, root: Path = DEFAULT_ROOT) -> Path:
    """Make `peer`'s environment under `root` unless it is there, and give its Python.

    The stamp is written last, so an installation that was cut short is done again.

    Raises:
        subprocess.CalledProcessError: pip failed; its own message is on stderr.
    """
    python = interpreter(peer, root)
    if is_ready(peer, root):
        return python
    folder = root / peer
    venv.create(folder, clear=True, with_pip=True, symlinks=True)
    pinned = requirements(peer)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, *pinned.split()], check=True, stdout=sys.stderr)
    (folder / "requirements.txt").write_text(pinned, encoding="utf-8")
    return python

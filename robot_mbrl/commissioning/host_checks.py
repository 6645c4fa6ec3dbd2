"""Is this computer ready: libraries, physics, pictures, serial ports and their permissions.

Reads only. What it reads from the system lies under a root that is passed in, so that it can be checked on a made-up
one.
"""

import ctypes.util
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import mujoco
import numpy as np
from serial.tools import list_ports

from robot_mbrl.commissioning.check import UDEV_FILE, Check, Status, passed

REQUIRED: Final = ("numpy", "mujoco", "gymnasium", "pydantic", "pyserial", "typer")
OPTIONAL: Final = {"dm-control": "pip install 'robot-mbrl[dm-control]'", "torch": "pip install 'robot-mbrl[train]'"}

RENDERERS: Final = ("EGL", "OSMesa")
"""Libraries with which MuJoCo draws without a display; one of them is enough."""
LATENCY_LIMIT: Final = 1
"""Highest good `latency_timer` of an FTDI adapter [ms]; its default of 16 caps a loop at 60 Hz."""
PERMISSION: Final = "sudo usermod -aG dialout $USER, then log in again"
UDEV_RULE: Final = 'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
_FALLING_BALL: Final = "<mujoco><worldbody><body pos='0 0 1'><freejoint/><geom size='0.1'/></body></worldbody></mujoco>"


def check_host(root: Path = Path("/")) -> Iterator[Check]:
    """All checks of this computer, cheap ones first."""
    yield passed("python", f"{platform.python_version()} on {platform.system()} {platform.release()}")
    yield from check_libraries()
    yield check_physics()
    yield check_rendering()
    ports = sorted(port.device for port in list_ports.comports())
    yield from check_ports(ports, root)


def check_libraries() -> Iterator[Check]:
    """Versions of the libraries in use."""
    yield passed("libraries", ", ".join(f"{name} {metadata.version(name)}" for name in REQUIRED))
    for name, remedy in OPTIONAL.items():
        try:
            yield passed(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, Status.OK, "not installed, needed only for training and its benchmarks", remedy)


def check_physics() -> Check:
    """Let a ball fall for 0.1 s and compare with `z = z0 - g t² / 2`."""
    model = mujoco.MjModel.from_xml_string(_FALLING_BALL)
    data = mujoco.MjData(model)
    while data.time < 0.1:
        mujoco.mj_step(model, data)
    expected = 1.0 - 0.5 * 9.81 * data.time**2
    if not np.isclose(data.qpos[2], expected, atol=2e-3):
        detail = f"a ball falls to {data.qpos[2]:.4f} m in {data.time:.2f} s instead of {expected:.4f} m"
        return Check("mujoco", Status.FAIL, detail, "reinstall: pip install --force-reinstall mujoco")
    return passed("mujoco", f"{mujoco.__version__} steps as it should")


def check_rendering(find: Callable[[str], str | None] = ctypes.util.find_library) -> Check:
    """Whether pictures can be drawn without a display; `find` looks for a library by its name."""
    found = [library for name in RENDERERS if (library := find(name)) is not None]
    if not found:
        detail = f"neither of {', '.join(RENDERERS)} found: no pictures without a display"
        return Check("rendering", Status.WARN, detail, "apt install libegl1")
    return passed("rendering", ", ".join(found))


def check_ports(ports: Sequence[str], root: Path) -> Iterator[Check]:
    """Serial ports, whether this user may open them, and the latency timers of FTDI adapters."""
    if not ports:
        remedy = "plug the adapter in, or start `robot-mbrl virtual-arm`"
        yield Check("serial ports", Status.WARN, "none found", remedy)
    for port in ports:
        if os.access(port, os.R_OK | os.W_OK):
            yield passed(f"port {port}", "may be opened")
        else:
            yield Check(f"port {port}", Status.WARN, "may not be opened by this user", PERMISSION)
        yield from check_latency(port, root)


def check_latency(port: str, root: Path) -> Iterator[Check]:
    """The latency timer of one port, where it has one (FTDI)."""
    timer = root / "sys/class/tty" / Path(port).name / "device/latency_timer"
    if not timer.exists():
        return
    value = int(timer.read_text(encoding="ascii"))
    if value <= LATENCY_LIMIT:
        yield passed(f"latency {port}", f"{value} ms")
    else:
        remedy = f"put {UDEV_RULE} into {UDEV_FILE} and plug it in again"
        yield Check(f"latency {port}", Status.WARN, f"{value} ms, adds up to that to every answer", remedy)

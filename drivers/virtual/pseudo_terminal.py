"""A pseudo-terminal: what the emulated arm has in place of a serial adapter."""

import pty

from robot_mbrl.contracts.errors import PortError


def open_pseudo_terminal() -> tuple[int, int]:
    """Both ends of a new one, as file descriptors.

    Raises:
        PortError: this computer, or this container, gives none.
    """
    try:
        return pty.openpty()
    except OSError as error:
        raise PortError(
            f"no pseudo-terminal for the emulated arm ({error}): mount devpts on /dev/pts, and see whether "
            "/proc/sys/kernel/pty/nr has reached its max"
        ) from error

"""One line of a diagnosis."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

UDEV_FILE: Final = "/etc/udev/rules.d/99-robot-mbrl.rules"
"""Where remedies put rules for devices (udev)."""
LIMITS_FILE: Final = "/etc/security/limits.d/99-robot-mbrl.conf"
"""Where remedies grant a group priorities and locked memory (pam_limits)."""


class Status(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and what was found.

    Attributes:
        name: what was looked at.
        status: how it ended.
        detail: what was found.
        remedy: what to do; empty when all is well.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def passed(name: str, detail: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Status.OK, detail)

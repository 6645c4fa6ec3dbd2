"""Which of the monitor's limits a flight had otherwise than its arm's definition says."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from robot_mbrl.contracts.monitor_settings import MonitorSettings

_LEARNED: Final = "uncertainty"
"""Section of the thresholds of doubt, of which a definition knows nothing."""


def changed_limits(own: MonitorSettings, flown: MonitorSettings) -> list[tuple[str, str, str]]:
    """Name, value of the arm's `own` definition and value as `flown`, for each that differs, in SI units.

    The learned thresholds of doubt are no part of it.
    """
    before, after = dict(_values(own.model_dump())), dict(_values(flown.model_dump()))
    names = [name for name in {**before, **after} if name.split(".")[0] != _LEARNED]
    return [
        (name, _text(before.get(name)), _text(after.get(name))) for name in names if before.get(name) != after.get(name)
    ]


def _values(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All single values, by their names with dots."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: object) -> str:
    return "none" if value is None else str(value)

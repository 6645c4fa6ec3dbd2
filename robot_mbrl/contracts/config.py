"""Settings: frozen pydantic models, read from YAML. Unknown keys are errors that give the full key path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robot_mbrl.contracts.errors import ConfigError


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def one_line(error: ValidationError, source: str) -> str:
    """All of a validation error's complaints in one line, each with its key path and value.

    A complaint about several keys at once names them and their values itself.
    """
    parts: list[str] = []
    for item in error.errors():
        path, complaint = ".".join(str(key) for key in item["loc"]), item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key {path}: remove it or correct its spelling")
        elif item["type"] == "missing":
            parts.append(f"{path} is missing: add it")
        elif item["type"] == "value_error" and isinstance(item["input"], Mapping):
            parts.append(f"{path}: {complaint}" if path else complaint)
        else:
            parts.append(f"{path} = {item['input']!r}: {complaint}")
    return f"{source}: " + "; ".join(parts)


def parse_settings(text: str, model: type[SettingsT], source: str) -> SettingsT:
    """Parse YAML `text` into `model`.

    Raises:
        ConfigError: not YAML, not a mapping, an unknown or missing key, or a value out of range.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping of settings at the top level, found {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(one_line(error, source)) from error


def load_settings(path: Path, model: type[SettingsT]) -> SettingsT:
    """Read `path` (YAML) into `model`.

    Raises:
        ConfigError: the file cannot be read, or `parse_settings` refuses it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): give the path of a settings file") from error
    return parse_settings(text, model, str(path))


def dump_settings(settings: BaseModel) -> str:
    """`settings` as YAML that `parse_settings` reads back to an equal object."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class BusSettings(Settings):
    """How the servo bus talks.

    Attributes:
        baud: bits per second; None takes the arm definition's.
        retries: how often a failed transaction that may be repeated is repeated.
        turnaround: what a servo needs before it answers [s]; about 95 µs measured on real servos.
        margin: host scheduling slack added to each deadline [s].
        usb_latency: what the adapter may hold bytes back [s]; 16 ms is an FTDI default, 1 ms with low latency set.
        low_latency: ask the port for its low-latency mode where it has one.
        spin: watch the port without sleeping for this long before and after an answer is due [s]; a control loop
            gains 50 to 100 µs a cycle by it and pays in processor time. 0 sleeps always.
        fast_sync_read: let Dynamixels answer sync reads in one joint packet: 18 % less wire time for six servos, but
            one servo that is missing takes the answers of all others with it. Feetech has no such instruction.
    """

    baud: int | None = Field(default=None, gt=0)
    retries: int = Field(default=2, ge=0, le=10)
    turnaround: float = Field(default=0.0005, ge=0.0, le=0.1)
    margin: float = Field(default=0.004, gt=0.0, le=1.0)
    usb_latency: float = Field(default=0.001, ge=0.0, le=0.1)
    low_latency: bool = True
    spin: float = Field(default=0.0, ge=0.0, le=0.002)
    fast_sync_read: bool = False


class RobotSettings(Settings):
    """`robot.yaml`: which arm stands where.

    Attributes:
        arm: name of an arm definition that ships with the project, or the path of one.
        port: serial device or the link of a virtual arm.
        calibration: the joint calibration file; None for the default place.
        bus: how the servo bus talks.
        watchdog: Dynamixel's bus watchdog [s]: servos stop by themselves when the host is silent that long; 0 is off.
        supply_voltage: of this arm's servos [V], what the monitor judges sags by; None takes the arm definition's.
    """

    kind: Literal["serial"] = "serial"
    arm: str
    port: str
    calibration: Path | None = None
    bus: BusSettings = BusSettings()
    watchdog: float = Field(default=0.2, ge=0.0, le=2.54)
    supply_voltage: float | None = Field(default=None, gt=0.0)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, mapping by mapping; one of another `kind` replaces what was there."""
    result = dict(base)
    for key, change in changes.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(change, Mapping) and _is_same_kind(before, change):
            result[key] = merged(before, change)
        else:
            result[key] = change
    return result


def _is_same_kind(before: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    return "kind" not in change or change["kind"] == before.get("kind")

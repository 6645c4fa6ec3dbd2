"""What is refused before an arm is touched: everything that can be known to be wrong without asking a servo."""

import tempfile
from collections.abc import Sequence

import numpy as np

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import Record
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.story import cause, stops
from robot_mbrl.drivers.bus import SerialTransport
from robot_mbrl.drivers.calibration import default_path, load_calibration
from robot_mbrl.policies.registry import build_policy
from robot_mbrl.runtime.bus_rate import check_rate
from robot_mbrl.runtime.guardian import RATE
from robot_mbrl.runtime.monitor_setup import build_watch, deployed_arm
from robot_mbrl.runtime.motion import LONGEST_STEP
from robot_mbrl.runtime.policy_process import LIFETIME_PERIODS, joint_space
from robot_mbrl.runtime.recorder import flight_header
from robot_mbrl.runtime.session_record import load_record
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.runtime.supervisor import HEARTBEAT_PERIOD


def check_deployment(settings: DeploySettings, clock: Clock) -> LogHeader:
    """Go through `settings`; returns what a log would say of the run. The port is opened and closed, nothing is sent.

    Raises:
        ConfigError: an unknown arm, policy or key, a supply that the servos do not accept, limits that contradict
            each other, the park pose or the rates, an ensemble without thresholds, a rate that the bus cannot carry, a
            log folder that cannot be written, a session that is running already.
        CalibrationError: the arm's calibration is missing or of another arm.
        LimitViolation: the policy would leave the arm's limits.
        PortError: the port cannot be opened; it may be in use.
    """
    robot = settings.robot
    arm = deployed_arm(robot)
    _check_session(settings.session)
    header = flight_header(settings)
    for policy in (settings.policy, settings.standby):
        if policy is not None:
            build_policy(policy, joint_space(arm, settings, clock))
    build_watch(arm, settings)
    _check_doubt(header, settings)
    _check_times(header, settings)
    _check_log(settings)
    if isinstance(robot, RobotSettings):
        check_rate(arm, settings.loop.rate, robot.bus.baud)
        load_calibration(robot.calibration or default_path(arm), arm)
        SerialTransport(robot.port, robot.bus.baud or arm.baud, clock).close()
    return header


def why_stopped(frames: Sequence[Record], header: LogHeader) -> str:
    """In words, why the arm came to its last stop in `frames`, of a run that `header` describes."""
    if not frames:
        return "no frame has come"
    series = np.concatenate(frames)
    found = stops(series)
    return cause(series, found[-1], header) if found else "before anybody looked"


def _check_session(session: str) -> None:
    record = load_record(session)
    running = [] if record is None else [who for who in (record.supervisor, record.control) if who.is_alive()]
    if running:
        raise ConfigError(
            f"session {session!r} is running as process {running[0].pid}: end it with Ctrl-C, or give another --session"
        )


def _check_doubt(header: LogHeader, settings: DeploySettings) -> None:
    """Refuse an ensemble that watches and never says a word: who gives one counts on it."""
    doubt = header.monitor.uncertainty
    if settings.ensemble is not None and doubt.disagreement is None and doubt.residual is None:
        raise ConfigError(
            f"{settings.ensemble}: an ensemble without thresholds of doubt stops nothing, and a bundle's go with its "
            "own ensemble only: take them with `robot-mbrl calibrate monitor` and give --thresholds FILE"
        )


def _check_times(header: LogHeader, settings: DeploySettings) -> None:
    """Refuse times with which the arm would be stopped as soon as it has torque, or by a limit other than the given."""
    loop, limits = settings.loop, header.monitor.timing
    late = min(limit for limit in (limits.lateness.hold, limits.lateness.stop, LONGEST_STEP) if limit is not None)
    if 1.0 / loop.rate > late:
        raise ConfigError(
            f"rate {loop.rate:g} Hz: a tick of {1.0 / loop.rate:g} s is late by the arm's limits, {late:g} s: give "
            f"{1.0 / late:g} Hz or more"
        )
    lifetime = LIFETIME_PERIODS / loop.policy_rate
    if lifetime > limits.action_lifetime:
        raise ConfigError(
            f"policy_rate {loop.policy_rate:g} Hz: actions that are good for {lifetime:g} s, the arm's limit is "
            f"{limits.action_lifetime:g} s: give {LIFETIME_PERIODS / limits.action_lifetime:g} Hz or more"
        )
    if loop.heartbeat is not None and loop.heartbeat < 2.0 * HEARTBEAT_PERIOD:
        raise ConfigError(
            f"heartbeat {loop.heartbeat:g} s: a console beats every {HEARTBEAT_PERIOD:g} s: give at least twice that"
        )
    silence = limits.heartbeat.stop
    if loop.heartbeat is not None and silence is not None and loop.heartbeat > silence:
        raise ConfigError(
            f"heartbeat {loop.heartbeat:g} s: the arm's limit is {silence:g} s: give that at most, or another limit in "
            "safety: timing"
        )
    bound = 2.0 * max(1.0 / loop.rate, 1.0 / RATE)
    if settings.guardian_bound < bound:
        raise ConfigError(
            f"guardian_bound {settings.guardian_bound:g} s: frames and looks at them are as far apart at times: give "
            f"at least {bound:g} s"
        )


def _check_log(settings: DeploySettings) -> None:
    try:
        settings.log.mkdir(parents=True, exist_ok=True)
        # Rights alone do not tell: the file system may be read-only or full.
        with tempfile.TemporaryFile(dir=settings.log) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise ConfigError(f"log folder {settings.log}: {error.strerror}: give a folder that can be written") from error

"""Flies episodes in lockstep on one drawn arm, over its emulated wire, and keeps their frames."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

import robot_mbrl
from robot_mbrl.benchmarks.doubt.motions import MotionDraw
from robot_mbrl.benchmarks.doubt.shifts import SHIFTS
from robot_mbrl.contracts.atomic_file import replacing, write_atomically
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.types import Verdict, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.safety.monitor import Monitor
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.truth import draw_truth

ARM: Final = "so101_follower"
ARM_SEED: Final = 7
"""Draws the one arm that all episodes are flown on, from the published ranges."""
SETTINGS: Final = DeploySettings(robot=TwinSettings(arm=ARM), loop=LoopSettings(rate=100.0, policy_rate=20.0))
"""A loop at 100 Hz costs two thirds of one at 200 Hz, and there are a thousand episodes to fly."""
SECONDS: Final = 3.0
"""Of an episode."""
ONSETS: Final = (0.75, 1.5)
"""Between which the shift sets in, of the time that the arm has run [s]."""
MOVING: Final = 0.3
"""A shift waits until a joint is faster than that [rad/s], so that it has something to act on."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One episode.

    Attributes:
        kind: nominal, or the shift.
        seed: of its motion, its onset and what the shift draws.
        frames: (k,) of it.
        onset_ns: when the shift set in [ns]; -1 in nominal episodes.
        checked_ns: when the checks without a model would first have held or stopped a shifted arm [ns]; -1 never.
        check: which of them.
    """

    kind: str
    seed: int
    frames: FrameArray
    onset_ns: int
    checked_ns: int
    check: str


PROGRAM: Final = "program.sha256"
"""Of all files of this program, in the folder of what it flew."""
NOMINAL: Final = "nominal"
Job = tuple[str, int]
"""Kind and seed of an episode to fly."""


class Passing:
    """Lets everything pass."""

    def judge(self, frame: Record) -> Verdict:
        """A pass."""
        del frame
        return Verdict(VerdictLevel.PASS)


class Bystander(Passing):
    """Lets everything pass, and notes what the arm's own monitor would have said.

    Attributes:
        stopped_ns: when it would first have held or stopped the arm [ns]; -1 never.
        reason: its word.
    """

    def __init__(self, monitor: Monitor) -> None:
        """Listen to `monitor`."""
        self._monitor = monitor
        self.stopped_ns = -1
        self.reason = ""

    def judge(self, frame: Record) -> Verdict:
        """A pass; nothing is asked any more once the monitor has spoken."""
        if self.stopped_ns < 0:
            verdict = self._monitor.judge(frame)
            if verdict.level >= VerdictLevel.HOLD:
                self.stopped_ns, self.reason = int(frame["wake_ns"][0]), verdict.reason
        return super().judge(frame)


def campaign_arm() -> tuple[ArmDefinition, ArmTruth]:
    """The arm of the campaign: drawn once, calibrated, so that its horns count as mounted by the drawing."""
    arm = load_arm(ARM)
    truth = draw_truth(arm, np.random.default_rng(ARM_SEED))
    joints = tuple(joint.model_copy(update={"zero_offset": 0.0}) for joint in truth.joints)
    return arm, truth.model_copy(update={"joints": joints})


def fly(kind: str, seed: int, seconds: float = SECONDS) -> Flight:
    """Fly one episode, `NOMINAL` or one of `SHIFTS`. The same seed gives the same episode, to the bit.

    Raises:
        RobotMbrlError: the arm could not be flown.
    """
    arm, truth = campaign_arm()
    random = np.random.default_rng((zlib.crc32(kind.encode()), seed))
    motion = _motions().draw(random, seconds)
    if kind == NOMINAL:
        flight = LockstepFlight(arm, truth, motion.start, SETTINGS, Passing())
        return Flight(kind, seed, flight.fly(motion.policy(flight.space()), seconds), -1, -1, "")
    onset = float(random.uniform(*ONSETS))
    witness = Bystander(build_monitor(arm, _geometry()))
    flight = LockstepFlight(arm, truth, motion.start, SETTINGS, witness)
    onset_ns = -1

    def shift(time: float) -> None:
        nonlocal onset_ns
        if onset_ns < 0 and time >= onset and np.abs(flight.plant.state.velocity).max() > MOVING:
            onset_ns = flight.wire.now_ns()
            SHIFTS[kind](flight, random)

    frames = flight.fly(motion.policy(flight.space()), seconds, shift)
    return Flight(kind, seed, frames, onset_ns, witness.stopped_ns, witness.reason)


def fly_all(
    jobs: Iterable[Job], folder: Path, workers: int, progress: Callable[[], None] = lambda: None
) -> list[Flight]:
    """Fly `jobs` in processes of their own, or read what an earlier run has left of them in `folder`; in their order.

    Calls `progress` after each that is flown.

    Raises:
        ConfigError: the folder has flights of another program.
        RobotMbrlError: the arm could not be flown.
        OSError: the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder)
    wanted = list(jobs)
    missing = [job for job in wanted if not _file(folder, *job).exists()]
    if missing:
        with ProcessPoolExecutor(workers) as pool:
            for _ in pool.map(_fly_and_keep, missing, [folder] * len(missing), chunksize=4):
                progress()
    return [_load(folder, *job) for job in wanted]


def _claim(folder: Path) -> None:
    """Note which program flies in `folder`, or compare the one that began there: figures would be of neither."""
    digest = hashlib.sha256()
    for place, folders, names in os.walk(Path(robot_mbrl.__file__).parent, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            digest.update(name.encode() + (Path(place) / name).read_bytes())
    path, ours = folder / PROGRAM, digest.hexdigest()
    if not path.exists():
        write_atomically(path, ours)
    elif path.read_text(encoding="utf-8") != ours:
        raise ConfigError(f"{folder}: holds flights of a program whose files were others: give another folder")


def _fly_and_keep(job: Job, folder: Path) -> None:
    flight = fly(*job)
    with replacing(_file(folder, *job)) as draft, draft.open("wb") as file:
        np.savez_compressed(
            file,
            frames=flight.frames,
            onset_ns=flight.onset_ns,
            checked_ns=flight.checked_ns,
            check=flight.check,
        )


def _load(folder: Path, kind: str, seed: int) -> Flight:
    with np.load(_file(folder, kind, seed), allow_pickle=False) as kept:
        return Flight(kind, seed, kept["frames"], int(kept["onset_ns"]), int(kept["checked_ns"]), str(kept["check"]))


def _file(folder: Path, kind: str, seed: int) -> Path:
    return folder / f"{kind.replace(' ', '-').replace(',', '')}-{seed:05d}.npz"


@cache
def _motions() -> MotionDraw:
    return MotionDraw(load_arm(ARM))


@cache
def _geometry() -> MujocoGeometry:
    return MujocoGeometry(load_arm(ARM))

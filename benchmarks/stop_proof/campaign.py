"""Runs the kinds of fault one after the other, each on an arm and a deployment of its own."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from robot_mbrl.benchmarks.stop_proof.arm_faults import SERVO, SURROUNDINGS, WIRE
from robot_mbrl.benchmarks.stop_proof.kinds import Kind
from robot_mbrl.benchmarks.stop_proof.measures import LATCHED, REST_SPEED, Measures, measure
from robot_mbrl.benchmarks.stop_proof.motion import LEG
from robot_mbrl.benchmarks.stop_proof.motion_faults import ACTIONS, MOTIONS
from robot_mbrl.benchmarks.stop_proof.process_faults import PERSONS, PROCESSES
from robot_mbrl.benchmarks.stop_proof.settling import Settling, settling
from robot_mbrl.benchmarks.stop_proof.stage import MOVING, Stage
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import RobotMbrlError
from robot_mbrl.contracts.frame import Request

KINDS: Final[tuple[Kind, ...]] = (*WIRE, *SERVO, *SURROUNDINGS, *ACTIONS, *MOTIONS, *PROCESSES, *PERSONS)

PATIENCE: Final = 4.0
"""How long a fault has to stop the arm [s]; motions need the most, as they first have to get where they lead."""
AFTERWARDS: Final = 1.0
"""How long the arm is watched after latch and rest [s]."""
ATTEMPTS: Final = 4
"""How often a run is begun that does not come to its fault, because the machine is too busy for the arm to run."""
BEFORE: Final = 4.0 * LEG
"""How much of the motion before the fault is looked at, to know what is normal [s]: one whole swing, and one before it
for what the goals were of late."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of one kind.

    Attributes:
        kind: name of the kind.
        seed: drew the arm and the moment of the fault.
        settling: how long this arm takes by itself, with this fault if its surroundings have it.
        measures: None when the run could not be made.
        rode_through: whether a fault that may be harmless was: the arm went on until it was stopped by hand.
        state: of the control process at the end.
        reason: what the monitor or the supervisor said of the stop.
        error: why the run could not be made, empty if it could.
        attempts: how often it was begun.
    """

    kind: str
    seed: int
    settling: Settling
    measures: Measures | None
    rode_through: bool = False
    state: str = ""
    reason: str = ""
    error: str = ""
    attempts: int = 1


def run_campaign(kinds: Sequence[Kind], seeds: Sequence[int], done: Callable[[Run], None]) -> list[Run]:
    """Run each kind with each seed; all kinds with the first seed come first, so that what was done is complete."""
    runs = []
    for seed in seeds:
        for kind in kinds:
            runs.append(run_kind(kind, seed, settling(seed, kind.surroundings, kind.lasts)))
            done(runs[-1])
    return runs


def run_kind(kind: Kind, seed: int, needed: Settling) -> Run:
    """One run of an arm that takes what is `needed` by itself.

    One that does not come to its fault is begun again; the last attempt says why, and is no measurement.
    """
    for attempt in range(1, ATTEMPTS + 1):
        session = f"stop-proof-{time.monotonic_ns():x}"
        try:
            with (
                tempfile.TemporaryDirectory(prefix="stop-proof-") as folder,
                Stage(Path(folder), session, seed, kind.heartbeat) as stage,
            ):
                stage.await_swing()
                return dataclasses.replace(_play(kind, seed, needed, stage), attempts=attempt)
        except RobotMbrlError as error:
            failed = Run(kind.name, seed, needed, None, error=str(error), attempts=attempt)
    return failed


def _play(kind: Kind, seed: int, needed: Settling, stage: Stage) -> Run:
    fault_ns = time.monotonic_ns()
    go_on = kind.make(stage)
    over_ns = fault_ns + to_ns(kind.lasts)

    def stopped() -> bool:
        return time.monotonic_ns() >= over_ns and _stopped(stage)

    rode_through = not stage.wait(stopped, PATIENCE, go_on or (lambda: None)) and kind.harmless
    if rode_through:
        rode_through = stage.observer.state in MOVING
        fault_ns = time.monotonic_ns()
        stage.send_request(Request.EMERGENCY_STOP)
        stage.wait(lambda: _stopped(stage), PATIENCE)
    end_ns = time.monotonic_ns() + to_ns(AFTERWARDS)
    stage.wait(lambda: time.monotonic_ns() > end_ns, 2.0 * AFTERWARDS, go_on or (lambda: None))
    seen = stage.observer.since(fault_ns - to_ns(BEFORE))
    visible_ns = fault_ns if rode_through else kind.visible_ns(stage.arm, seen, fault_ns)
    report = stage.guardian_report()
    taken_over_ns = None if report is None or stage.pid("control") is not None else report.acted_ns
    state = stage.observer.state
    return Run(
        kind=kind.name,
        seed=seed,
        settling=needed,
        measures=measure(seen, stage.play, fault_ns, visible_ns, taken_over_ns, over_ns),
        rode_through=rode_through,
        state="silent" if state is None else state.name.lower(),
        reason=stage.last_words() if report is None else f"guardian: {report.cause}; {report.done}",
    )


def _stopped(stage: Stage) -> bool:
    """Whether the arm is latched, or its control process gone, and rests."""
    latched = stage.observer.state is not None and int(stage.observer.state) in LATCHED
    return (latched or stage.pid("control") is None) and stage.observer.speed < REST_SPEED

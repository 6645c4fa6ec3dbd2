"""Give each servo its ID and baud rate, one servo on the bus at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from robot_mbrl.commissioning.operator import Operator
from robot_mbrl.commissioning.servo_search import (
    EVERY_ID,
    UNHURRIED,
    FoundServo,
    baud_code,
    baud_rates,
    describe,
    nothing_answers,
    search,
)
from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.errors import (
    BusError,
    BusTimeout,
    DuplicateId,
    ModelMismatch,
    NotReady,
    PacketCorrupt,
    PortError,
)
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dialects import dialect_of
from robot_mbrl.drivers.registers import Register


class MotorSetup:
    """Sets the servos of one arm up on one port. Repeating it is harmless: what is right is left alone."""

    def __init__(
        self,
        arm: ArmDefinition,
        port: str,
        operator: Operator,
        clock: Clock,
        progress: Callable[[int], None] = lambda _: None,
        ids: Sequence[int] = EVERY_ID,
    ) -> None:
        """Prepare; opens nothing yet.

        Args:
            arm: which IDs, models and baud rate.
            port: device or link.
            operator: connects one servo at a time.
            clock: for deadlines.
            progress: called with each ID that a search has asked.
            ids: where to look for a servo.
        """
        self._arm = arm
        self._port = port
        self._operator = operator
        self._clock = clock
        self._progress = progress
        self._ids = ids
        self._lock = dialect_of(arm.protocol).lock

    def run(self, joints: Sequence[JointDefinition]) -> None:
        """Set up the servos of `joints` in turn.

        Raises:
            BusTimeout: no servo answers at any ID and baud rate.
            DuplicateId: more than one servo is connected.
            ModelMismatch: the servo is of another model than the arm's definition says.
            NotReady: its torque is on, so that its settings are locked.
        """
        for joint in joints:
            self._operator.wait(f"Connect the servo of {joint.name} alone ({joint.servo}, will get ID {joint.id})")
            self._set_up(joint)

    def _set_up(self, joint: JointDefinition) -> None:
        found = self._find_single()
        if found.problem and found.model is None:
            raise DuplicateId(f"{joint.name}: {found.problem}: connect the servo of {joint.name} alone")
        if found.model != joint.servo:
            raise ModelMismatch(
                f"{joint.name}: the connected servo (ID {found.id}) is {found.model} ({found.model_number}), "
                f"{self._arm.name} has {joint.servo} there: connect the right servo"
            )
        if found.problem:
            raise BusError(f"{joint.name}: {found.problem}: check its cable, then run this again")
        if found.id == joint.id and found.baud == self._arm.baud:
            state = "its memory was unlocked and is locked again" if self._close_lock(joint) else "left alone"
            self._operator.tell(f"{joint.name}: has ID {joint.id} and {found.baud} baud already, {state}")
            return
        if found.torque:
            raise NotReady(
                f"{joint.name}: the torque of the servo with ID {found.id} is on and locks its settings: support the "
                f"arm and unplug the servo's power for a moment, then run this again"
            )
        self._write(found, joint)
        self._verify(joint)
        self._operator.tell(
            f"{joint.name}: ID {found.id} -> {joint.id}, {found.baud} -> {self._arm.baud} baud, read back"
        )

    def _find_single(self) -> FoundServo:
        """The one servo on the bus, at the first baud rate at which anybody answers."""
        protocol = self._arm.protocol
        rates = dict.fromkeys((self._arm.baud, *baud_rates(protocol)))
        for baud in rates:
            found = search(self._port, [(protocol, baud)], self._ids, self._clock, progress=self._progress)
            if len(found) > 1:
                names = ", ".join(str(servo.id) for servo in found)
                raise DuplicateId(
                    f"{len(found)} servos answer on {self._port} (IDs {names}): connect one servo at a time"
                )
            if found:
                return found[0]
        raise nothing_answers(self._port, [(protocol, baud) for baud in rates], self._ids)

    def _write(self, found: FoundServo, joint: JointDefinition) -> None:
        """Write ID and baud rate; the servo's memory is locked again, however far that came.

        Raises:
            BusError: the servo was unlocked and could not be locked again.
        """
        try:
            self._write_settings(found, joint)
        except BaseException:
            self._lock_again(found, joint)
            raise
        if not self._lock_again(found, joint):
            raise BusError(
                f"{joint.name}: does not answer under its old nor its new settings, its memory may be unlocked: "
                "power-cycle the servo and run this again"
            )

    def _write_settings(self, found: FoundServo, joint: JointDefinition) -> None:
        """Write ID, then baud rate. The servo's word may come under the old or the new setting; `_verify` decides."""
        table = control_table(joint.servo)
        code = baud_code(self._arm.protocol, self._arm.baud)
        with self._bus(found.baud) as bus:
            if self._lock:
                bus.write_register(found.id, table[self._lock], 0)
            _write_unheard(bus, found.id, table["id"], joint.id)
            _write_unheard(bus, joint.id, table["baud_rate"], code)

    def _lock_again(self, found: FoundServo, joint: JointDefinition) -> bool:
        """Lock the servo's memory under whichever settings it now has; whether that worked, or needs not be."""
        if not self._lock:
            return True
        register = control_table(joint.servo)[self._lock]
        for servo_id, baud in ((joint.id, self._arm.baud), (joint.id, found.baud), (found.id, found.baud)):
            try:
                with self._bus(baud) as bus:
                    bus.write_register(servo_id, register, 1)
            except (BusError, PortError):
                continue
            return True
        return False

    def _close_lock(self, joint: JointDefinition) -> bool:
        """Lock the memory of a servo that is set up, where an earlier run left it open; whether it did."""
        if not self._lock:
            return False
        register = control_table(joint.servo)[self._lock]
        with self._bus(self._arm.baud) as bus:
            if bus.read_register(joint.id, register) == 1:
                return False
            bus.write_register(joint.id, register, 1)
        return True

    @contextmanager
    def _bus(self, baud: int) -> Iterator[ServoBus]:
        bus = open_bus(self._port, self._arm.protocol, baud, self._clock, UNHURRIED)
        try:
            yield bus
        finally:
            bus.close()

    def _verify(self, joint: JointDefinition) -> None:
        with self._bus(self._arm.baud) as bus:
            bus.ping(joint.id)
            seen = describe(bus, self._arm.baud, joint.id)
        if seen.problem or seen.model != joint.servo:
            raise BusError(
                f"{joint.name}: after the set-up ID {joint.id} at {self._arm.baud} baud reads as {seen.model} "
                f"({seen.problem or 'no problem reported'}): power-cycle the servo and run this again"
            )


def _write_unheard(bus: ServoBus, servo_id: int, register: Register, value: int) -> None:
    """Write a register that changes how the servo answers, so that its word may not be heard.

    Whether it happened shows when the servo is next spoken to under its new settings.
    """
    try:
        bus.write_register(servo_id, register, value)
    except (BusTimeout, PacketCorrupt):
        return

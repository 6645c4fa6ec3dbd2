"""Give each servo its ID and baud rate, one servo on the bus at a time."""

from collections.abc import Callable, Sequence

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
from robot_mbrl.contracts.errors import BusError, BusTimeout, DuplicateId, ModelMismatch, NotReady, PacketCorrupt
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dialects import dialect
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
            self._operator.tell(f"{joint.name}: has ID {joint.id} and {found.baud} baud already, left alone")
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
        """Write ID, then baud rate. The servo's word may come under the old or the new setting; `_verify` decides."""
        table = control_table(joint.servo)
        lock = dialect(self._arm.protocol).lock
        code = baud_code(self._arm.protocol, self._arm.baud)
        bus = open_bus(self._port, self._arm.protocol, found.baud, self._clock, UNHURRIED)
        try:
            if lock:
                bus.write_register(found.id, table[lock], 0)
            _write_unheard(bus, found.id, table["id"], joint.id)
            _write_unheard(bus, joint.id, table["baud_rate"], code)
        finally:
            bus.close()
        if lock:
            bus = open_bus(self._port, self._arm.protocol, self._arm.baud, self._clock, UNHURRIED)
            try:
                bus.write_register(joint.id, table[lock], 1)
            finally:
                bus.close()

    def _verify(self, joint: JointDefinition) -> None:
        bus = open_bus(self._port, self._arm.protocol, self._arm.baud, self._clock, UNHURRIED)
        try:
            bus.ping(joint.id)
            seen = describe(bus, self._arm.baud, joint.id)
        finally:
            bus.close()
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

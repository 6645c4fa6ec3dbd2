"""What a process can do to keep its time: and an honest word about how well it will, on this machine.

Python keeps time well once nothing gets in its way. Measured at 1 kHz for 20 s on two cores: with SCHED_FIFO, locked
memory, no garbage collection, its own core and sleep-then-spin it wakes 31 µs late at the 99.9th percentile, against
1.3 ms under the default scheduler. SCHED_FIFO buys the tail; spinning alone does not.
"""

import ctypes
import gc
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from pydantic import Field

from robot_mbrl.commissioning.check import LIMITS_FILE, UDEV_FILE
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import Settings

_libc: Final = ctypes.CDLL(None, use_errno=True)
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_PR_SET_TIMERSLACK: Final = 29
_PR_GET_TIMERSLACK: Final = 30
_CAP_IPC_LOCK: Final = 1 << 14
_DMA_LATENCY: Final = Path("/dev/cpu_dma_latency")
_DMA_RULE: Final = 'KERNEL=="cpu_dma_latency", GROUP="dialout", MODE="0660"'
_ISOLATED: Final = Path("/sys/devices/system/cpu/isolated")

BEST_LATENESS: Final = 100e-6
"""Wake-up lateness [s] at the 99.9th percentile that an idle machine should keep when it grants everything."""


class RealTimeSettings(Settings):
    """How a process keeps its time.

    Attributes:
        priority: of SCHED_FIFO, 1..99; 0 stays with the default scheduler.
        lock_memory: keep all pages in memory.
        cpu: core to run on; None takes an isolated one, or else the last that this process may use.
        spin: watch the clock without sleeping for this long before a deadline [s].
        serial_priority: of SCHED_FIFO for the kernel's unbound worker threads, which hand over the bytes that a serial
            port received; 0 leaves them alone. Where other programs keep all cores busy, answers of servos come
            milliseconds late without it. It changes threads of the whole machine for as long as the process runs.
    """

    priority: int = Field(default=80, ge=0, le=99)
    lock_memory: bool = True
    cpu: int | None = Field(default=None, ge=0)
    spin: float = Field(default=150e-6, ge=0.0, le=0.002)
    serial_priority: int = Field(default=0, ge=0, le=99)


Undo = Callable[[], object]


class Step(NamedTuple):
    """One thing to ask of the machine.

    Attributes:
        name: for the warning.
        take: asks for it and returns how to give it back; raises OSError when it is refused.
        remedy: what the machine's owner can do about a refusal.
        lateness: wake-up lateness [s] at the 99.9th percentile that an idle machine should keep without it.
    """

    name: str
    take: Callable[[RealTimeSettings], Undo]
    remedy: str
    lateness: float


class Refusal(NamedTuple):
    """A step that the machine did not grant, and its reason."""

    step: Step
    reason: str


class RealTime:
    """The calling thread's claim on the machine, as a context manager that gives everything back.

    Attributes:
        refused: the steps that were refused.
        lateness: wake-up lateness [s] at the 99.9th percentile that an idle machine should keep with the others.
    """

    def __init__(self, settings: RealTimeSettings, steps: Sequence[Step] | None = None) -> None:
        """Plan to take `steps`, all of them by default. Changes nothing yet."""
        self._settings = settings
        self._steps = STEPS if steps is None else steps
        self._undo: list[Undo] = []
        self.refused: list[Refusal] = []
        self.lateness = BEST_LATENESS

    @property
    def warnings(self) -> list[str]:
        """One line for each step that was refused."""
        return [f"real time: no {step.name} ({reason}): {step.remedy}" for step, reason in self.refused]

    def __enter__(self) -> Self:
        """Ask for everything; what is refused becomes a warning."""
        for step in self._steps:
            try:
                self._undo.append(step.take(self._settings))
            except OSError as error:
                self.refused.append(Refusal(step, error.strerror or str(error)))
                self.lateness = max(self.lateness, step.lateness)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._undo:
            self._undo.pop()()

    def clock(self) -> MonotonicClock:
        """The clock to wait on."""
        return MonotonicClock(self._settings.spin)

    def promise(self) -> str:
        """One line: what was granted, and how late ticks should then begin on an idle computer; nothing is measured."""
        refused = f"{len(self.refused)} of {len(self._steps)}" if self.refused else "no"
        expected = f"on an idle computer ticks should begin within {self.lateness * 1e3:g} ms"
        return f"{refused} real-time measures refused: {expected}"


def _use_fifo(settings: RealTimeSettings) -> Undo:
    if settings.priority == 0:
        raise OSError("priority 0 was asked for")
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    # Children must not inherit it: they would compete with their parent for its core.
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(settings.priority))

    def undo() -> None:
        try:
            os.sched_setscheduler(0, policy, parameter)
        except PermissionError:
            # The flag may be taken away by a privileged thread only (sched(7)); without SCHED_FIFO it does no harm.
            os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, parameter)

    return undo


def _lock_memory(settings: RealTimeSettings) -> Undo:
    if not settings.lock_memory:
        raise OSError("the settings say so")
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock_any_memory():
        # Locking under a limit succeeds now and makes some later allocation fail, in the middle of a motion.
        raise OSError(f"the limit on locked memory is {limit} bytes")
    _call("mlockall", _MCL_CURRENT | _MCL_FUTURE)
    return lambda: _call("munlockall")


def _may_lock_any_memory() -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _CAP_IPC_LOCK)
    return False


def _collect_no_garbage(_: RealTimeSettings) -> Undo:
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()

    def undo() -> None:
        gc.unfreeze()
        if enabled:
            gc.enable()

    return undo


def _pin(settings: RealTimeSettings) -> Undo:
    before = os.sched_getaffinity(0)
    if settings.cpu is None and len(before) == 1:
        raise OSError("only one core is there for all processes")
    os.sched_setaffinity(0, {choose_cpu(before) if settings.cpu is None else settings.cpu})
    return lambda: os.sched_setaffinity(0, before)


def choose_cpu(allowed: set[int], isolated: str | None = None) -> int:
    """The core to run on: one of those that the kernel keeps free, `isolated` such as `2-3,7`, or else the last one."""
    if isolated is None:
        isolated = _ISOLATED.read_text(encoding="ascii") if _ISOLATED.exists() else ""
    kept_free: set[int] = set()
    for part in filter(None, isolated.strip().split(",")):
        first, _, last = part.partition("-")
        kept_free.update(range(int(first), int(last or first) + 1))
    return max(allowed & kept_free or allowed)


def _sharpen_timers(_: RealTimeSettings) -> Undo:
    before = _call("prctl", _PR_GET_TIMERSLACK)
    _call("prctl", _PR_SET_TIMERSLACK, 1)
    return lambda: _call("prctl", _PR_SET_TIMERSLACK, before)


def _stay_awake(_: RealTimeSettings) -> Undo:
    """Keep cores out of sleep states that are slow to leave; virtual machines have none and no such file."""
    if not _DMA_LATENCY.exists():
        return lambda: None
    handle = os.open(_DMA_LATENCY, os.O_WRONLY)
    os.write(handle, (0).to_bytes(4, "little"))
    return lambda: os.close(handle)


def _hasten_serial_ports(settings: RealTimeSettings) -> Undo:
    if settings.serial_priority == 0:
        return lambda: None
    workers = unbound_workers()
    for pid in workers:
        _schedule(pid, os.SCHED_FIFO, settings.serial_priority)

    def undo() -> None:
        for pid in workers:
            _schedule(pid, os.SCHED_OTHER, 0)

    return undo


def unbound_workers(proc: Path = Path("/proc")) -> list[int]:
    """Process IDs of the kernel's worker threads that no core owns; they come and go."""
    found: list[int] = []
    for comm in proc.glob("[0-9]*/comm"):
        try:
            name = comm.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith("kworker/u"):
            found.append(int(comm.parent.name))
    return sorted(found)


def _schedule(pid: int, policy: int, priority: int) -> None:
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(priority))
    except ProcessLookupError:
        return


def _call(function: str, *arguments: int) -> int:
    """Call the C library's `function`; its failure is an OSError."""
    result: int = getattr(_libc, function)(*(ctypes.c_ulong(argument) for argument in arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _limit(item: str) -> str:
    """How a user who is not root gets a higher limit, as one of the group that serial ports belong to."""
    return f"put `@dialout - {item}` into {LIMITS_FILE} and log in again, or run as root"


STEPS: Final = (
    # First: the kernel has its own idea of the timers of a thread under SCHED_FIFO.
    Step("sharp timers", _sharpen_timers, "use Linux", 200e-6),
    Step("SCHED_FIFO", _use_fifo, _limit("rtprio 99"), 4e-3),
    Step("locked memory", _lock_memory, _limit("memlock unlimited"), 2e-3),
    Step("core of its own", _pin, "give the machine a second core, or name an existing one as real_time.cpu", 1e-3),
    Step("wakeful processor", _stay_awake, f"put {_DMA_RULE} into {UDEV_FILE} and start the computer again", 200e-6),
    Step("prompt serial ports", _hasten_serial_ports, "run as root, or set real_time.serial_priority to 0", 200e-6),
    # Last: it freezes what the other steps made, too.
    Step("pause of garbage collection", _collect_no_garbage, "use CPython", 2e-3),
)
"""What is asked of the machine, with the lateness that was measured (see the module) or seen without it."""


def only(*names: str) -> list[Step]:
    """The steps with these names, in the order of `STEPS`."""
    return [step for step in STEPS if step.name in names]

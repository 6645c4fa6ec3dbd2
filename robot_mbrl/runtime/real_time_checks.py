"""What a control process would be granted of what it asks for to keep its time: the findings that `doctor` shows."""

from collections.abc import Iterator, Sequence

from robot_mbrl.commissioning.check import Check, Status, passed
from robot_mbrl.runtime.real_time import STEPS, RealTime, RealTimeSettings, Step


def check_real_time(steps: Sequence[Step] = STEPS) -> Iterator[Check]:
    """Ask for each of `steps` as a control process does, give all back, and tell what was refused and how to get it.

    The last finding is the promise that follows from the others.
    """
    with RealTime(RealTimeSettings(), steps) as claim:
        promise = claim.promise()
    reasons = {step.name: reason for step, reason in claim.refused}
    for step in steps:
        if step.name not in reasons:
            yield passed(step.name, "granted")
            continue
        late = f"without it ticks may begin {step.lateness * 1e3:g} ms late"
        yield Check(step.name, Status.WARN, f"refused ({reasons[step.name]}): {late}", step.remedy)
    if claim.refused:
        yield Check("real time", Status.WARN, promise, "follow the remedies above; `robot-mbrl bench loop` measures it")
    else:
        yield passed("real time", f"{promise}; `robot-mbrl bench loop` measures it")

"""The supervisor's claim on the machine; what it does for a deployment is tested by deployments, in `tests.cli`."""

import os

from robot_mbrl.runtime.real_time import RealTimeSettings
from robot_mbrl.runtime.supervisor import PRIORITY, urgency


def test_it_comes_before_what_computes_and_after_what_moves_the_arm() -> None:
    before = os.sched_getscheduler(0)
    with urgency(RealTimeSettings(priority=80)) as claim:
        if claim.refused:
            assert claim.warnings[0].startswith("real time: no SCHED_FIFO")
            assert os.sched_getscheduler(0) == before
        else:
            # The policy's process is one of those that it must come before.
            assert os.sched_getscheduler(0) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            assert os.sched_getparam(0).sched_priority == PRIORITY < 80
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == before & ~os.SCHED_RESET_ON_FORK


def test_it_asks_for_nothing_where_the_control_process_asks_for_no_priority() -> None:
    before = os.sched_getscheduler(0)
    with urgency(RealTimeSettings(priority=0)) as claim:
        assert not claim.refused
        assert os.sched_getscheduler(0) == before

"""How a flight of the demonstration ends: as its supervisor says, in the demonstration's own terms."""

import signal

import pytest

from robot_mbrl.contracts.errors import ArmStopped, ProcessFailed, RobotMbrlError
from robot_mbrl.demo.pilot import raise_for
from robot_mbrl.runtime.supervisor import Ending


def test_a_flight_that_ended_as_planned_goes_on_to_the_next() -> None:
    raise_for(Ending("ended as planned", 0))


def test_ctrl_c_ends_the_demonstration() -> None:
    with pytest.raises(KeyboardInterrupt):
        raise_for(Ending("ended by SIGINT", 128 + signal.SIGINT))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_so_do_other_signals_with_their_exit_code(number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as caught:
        raise_for(Ending(f"ended by {number.name}", 128 + number))
    assert caught.value.code == 128 + number


@pytest.mark.parametrize(("code", "error"), [(13, ArmStopped), (12, ProcessFailed), (3, ProcessFailed)])
def test_what_went_wrong_is_an_error(code: int, error: type[RobotMbrlError]) -> None:
    with pytest.raises(error, match="the reason"):
        raise_for(Ending("the reason", code))

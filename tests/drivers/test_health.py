"""Asking for an arm's health costs no time on the bus."""

import numpy as np
import pytest

from tests.drivers.emulated import emulated_arm


@pytest.mark.parametrize("name", ["so101_follower", "koch_follower"])
def test_health_is_answered_from_what_the_rota_read(name: str) -> None:
    emulated = emulated_arm(name)
    emulated.robot.connect()
    transactions, now = emulated.bus.statistics.transactions, emulated.wire.now_ns()
    health = emulated.robot.health()
    assert np.isfinite(health.voltage).all()
    assert emulated.bus.statistics.transactions == transactions
    assert emulated.wire.now_ns() == now

"""What the report says of limits that are not the arm's own."""

from robot_mbrl.demo.changed_limits import changed_limits
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.monitor_setup import monitor_settings

ARM = load_arm("so101_follower")
OWN = monitor_settings(ARM)


def test_a_flight_with_the_arm_s_own_limits_changed_nothing() -> None:
    assert changed_limits(OWN, monitor_settings(ARM)) == []


def test_every_limit_that_differs_is_named_with_both_values() -> None:
    flown = monitor_settings(ARM, {"timing": {"lateness": {"stop": 0.15}}, "plausibility": {"age": {"hold": None}}})
    assert sorted(changed_limits(OWN, flown)) == [
        ("plausibility.age.hold", str(OWN.plausibility.age.hold), "none"),
        ("timing.lateness.stop", str(OWN.timing.lateness.stop), "0.15"),
    ]


def test_learned_thresholds_are_no_changed_limits() -> None:
    flown = monitor_settings(ARM, {"uncertainty": {"disagreement": {"stop": 0.5}}})
    assert flown != OWN
    assert changed_limits(OWN, flown) == []

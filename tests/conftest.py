"""What holds for the whole suite."""

from hypothesis import HealthCheck, settings

# A slow or busy machine is no reason to fail: neither an example nor the drawing of examples is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

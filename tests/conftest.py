"""What holds for the whole suite."""

import signal

from hypothesis import HealthCheck, settings

# A slow or busy machine is no reason to fail: neither an example nor the drawing of examples is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell's background job ignores Ctrl-C, and so would every program that it starts: those tested are to end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

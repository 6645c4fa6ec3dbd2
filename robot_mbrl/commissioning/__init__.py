"""From unpowered servos to an arm that moves: search, ID set-up, joint calibration, diagnosis, a first move.

Everything here is a procedure over the drivers. A person's part in it goes through `operator.Operator`, so that a
terminal, a script and the emulated arm's own hand run the same lines.
"""

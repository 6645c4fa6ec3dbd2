"""Arm models, the MuJoCo plant and twin, tasks, batch simulation and actuator models."""

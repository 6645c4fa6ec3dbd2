"""Servo codecs, the serial bus, joint calibration, arm definitions and the emulated servo bus."""

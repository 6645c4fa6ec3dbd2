"""Dynamixel Protocol 2.0 and control tables."""

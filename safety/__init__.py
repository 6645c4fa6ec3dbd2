"""Limits, health, disagreement and the monitor that stops the arm."""

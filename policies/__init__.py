"""Learners and planners."""

"""Learners and planners."""

import os

# From 1.29 on, onnxruntime starts threads that keep an event store in the user's cache folder and upload it. Neither a
# file nor the network may hold up the process that controls an arm, so it is told before its first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

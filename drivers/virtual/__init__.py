"""The emulated servo bus: an arm behind a pseudo-terminal."""

"""Names of what the models share."""

TOOL_SITE = "gripperframe"
TARGET_SITE = "target"
TABLE = "table"
CUBE = "cube"
PAYLOAD = "payload"


def backlash_joint(joint: str) -> str:
    """Name of the hinge that is the gap of `joint`."""
    return f"{joint}_backlash"

"""What the policy process says when another policy takes over: the supervisor learns from it which one acts."""


def granted(policy: str) -> str:
    """The line that tells that `policy`, as the settings name it, acts from here on."""
    return f"policy: {policy} acts from here on"

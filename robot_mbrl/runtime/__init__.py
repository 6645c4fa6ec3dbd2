"""The processes of an arm."""

"""Feetech STS/SMS protocol and control tables."""

"""Decisions: pure functions over what was seen; no I/O, no clock, no randomness, no kopf."""

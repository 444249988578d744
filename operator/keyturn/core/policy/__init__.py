"""Rules for secrets: those of a SecretClass, and those of the checklist.

Modules
    rules        rules of a SecretClass, and their violations; the floor of length and entropy
    checklist    rules of the checklist for one secret, and `Report`, the verdict over all

A rule returns data; `core.status.conditions` and `checklist` turn it into conditions and reports.

Imports: `core.state`, `core.spec`, and `api`.
"""

from enum import StrEnum

__all__ = ["ClassRule"]


class ClassRule(StrEnum):
    """The rules of a SecretClass; a violated one is the reason of `PolicyCompliant`."""

    MIN_LENGTH = "minLength"
    MIN_ENTROPY_BITS = "minEntropyBits"
    MAX_INTERVAL = "maxInterval"
    DISTINCT = "distinctAcrossEnvironments"

"""Errors of a benchmark whose message is for the user."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A benchmark ends without a figure, or with a bad one; the message says why."""


class PeerError(BenchmarkError):
    """A controller cannot be measured."""


class CheckError(BenchmarkError):
    """A counter has grown, or there is none to compare with."""

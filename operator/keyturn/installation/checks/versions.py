"""Compares the versions of this command line and of the leading operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn import __version__
from keyturn.runtime import build

from .point import Point

if TYPE_CHECKING:
    from .election import Election

_NAME: Final = "version"


def point_of(elected: Election | None) -> Point:
    holder = elected.holder if elected else None
    if holder is None:
        cause = "no replica leads" if elected else "no Lease was read"
        said = f"unknown: {cause}; this command line is {build.version()}"
        return Point.warn(_NAME, said, "see the point lease")
    if not holder.version:
        said = f"the leader reports no version: it is older than this command line, {build.version()}"
        return Point.warn(_NAME, said, "upgrade the operator, or use the command line of its release")
    there = f"{holder.version} ({holder.commit})" if holder.commit else holder.version
    if holder.version != __version__:
        said = f"the operator is {there}, and this is {build.version()}"
        return Point.warn(_NAME, said, "use the command line of the operator's release, or upgrade it")
    return Point.ok(_NAME, f"the operator is {there}, and so is this {build.version()}")

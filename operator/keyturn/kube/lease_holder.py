"""Who holds the Lease of an election, since when, and which Keyturn that is, as the Lease itself says."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from keyturn import __version__
from keyturn.runtime import build

from .wire import Body

__all__ = ["ANNOTATION", "Holder", "holder_of", "signature"]

ANNOTATION: Final = "keyturn.dev/holder"
"""On the Lease: the holder's identity, version and commit. It counts only while that identity holds the Lease."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a Lease."""

    identity: str
    renewed: datetime | None
    """By the clock of the holder."""
    seconds: int
    """How long the Lease is valid after a renewal."""
    version: str = ""
    """Empty where the holder does not say it: it is older than this."""
    commit: str = ""


def holder_of(lease: Body) -> Holder | None:
    """Read a Lease; None while it is free."""
    spec: dict[str, Any] = lease.get("spec") or {}
    identity = str(spec.get("holderIdentity") or "")
    if not identity:
        return None
    said = _said(lease["metadata"].get("annotations") or {}, identity)
    return Holder(
        identity,
        _time(spec.get("renewTime")),
        int(spec.get("leaseDurationSeconds") or 0),
        str(said.get("version", "")),
        str(said.get("commit", "")),
    )


def signature(identity: str) -> dict[str, str]:
    """Make the annotation of a Lease that this process holds."""
    said = {"identity": identity, "version": __version__, "commit": build.commit()}
    return {ANNOTATION: json.dumps(said)}


def _said(annotations: dict[str, str], identity: str) -> dict[str, Any]:
    try:
        said = json.loads(annotations.get(ANNOTATION, ""))
    except ValueError:
        return {}
    # An older Keyturn takes the Lease over with the annotation of the one before.
    return said if isinstance(said, dict) and said.get("identity") == identity else {}


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

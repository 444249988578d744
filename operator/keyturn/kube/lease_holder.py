"""Times of a Lease, and its holder: identity, last renewal, and the version of Keyturn in an annotation."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from keyturn import __version__
from keyturn.core.labels import HOLDER
from keyturn.runtime import build

from .wire import Body

LEASE: Final = "keyturn"
"""Name of the Lease of the leader."""
_RECONCILED_ALL_IN = "reconciledAllIn"
_MOST_TERMS: Final = 3
"""Terms of its own that a follower waits at most for a Lease that is not renewed, or was deleted."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Times of an election, in seconds."""

    lease_duration: float = 10.0
    """Time after which a follower may take over a Lease that was not renewed."""
    renew_deadline: float = 7.0
    """Time for which a leader writes after its last renewal; calls in progress must end within the rest."""
    retry_period: float = 2.0
    """Interval at which a leader renews and a follower reads the Lease."""

    def believed(self, seconds: float) -> float:
        """Return how long a Lease counts whose holder claims `seconds`: a foreign edit must not stop all replicas."""
        return min(seconds or self.lease_duration, _MOST_TERMS * self.lease_duration)


TERMS: Final = Terms()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a Lease."""

    identity: str
    renewed: datetime | None
    """By the holder's clock."""
    seconds: int
    """Validity of the Lease after a renewal, in seconds."""
    version: str = ""
    """Empty for a holder that is no replica of Keyturn."""
    commit: str = ""


def holder_of(lease: Body) -> Holder | None:
    """Return the holder of a Lease; None if it is free."""
    spec: dict[str, Any] = lease.get("spec") or {}
    identity = str(spec.get("holderIdentity") or "")
    if not identity:
        return None
    annotation = _annotation_of(lease["metadata"].get("annotations") or {}, identity)
    return Holder(
        identity,
        renewal_of(lease),
        int(spec.get("leaseDurationSeconds") or 0),
        str(annotation.get("version", "")),
        str(annotation.get("commit", "")),
    )


def signature(identity: str, *, reconciled_all_in: int | None = None) -> dict[str, str]:
    """Return the annotation for a Lease that this process holds.

    `reconciled_all_in` is the term of the Lease, its `leaseTransitions`, if this version of Keyturn has reconciled
    every object.
    """
    document: dict[str, Any] = {"identity": identity, **_version()}
    if reconciled_all_in is not None:
        document[_RECONCILED_ALL_IN] = reconciled_all_in
    return {HOLDER: json.dumps(document)}


def names_reconciled_all(lease: Body) -> bool:
    """Whether the holder of the last term had this version of Keyturn, which had reconciled every object.

    The term counts because a holder that is older than the annotation leaves that of an earlier one.
    """
    document = _document(lease["metadata"].get("annotations") or {})
    term = (lease.get("spec") or {}).get("leaseTransitions", 0)
    return {**document, **_version(), _RECONCILED_ALL_IN: term} == document


def _version() -> dict[str, str]:
    return {"version": __version__, "commit": build.commit()}


def _annotation_of(annotations: dict[str, str], identity: str) -> dict[str, Any]:
    document = _document(annotations)
    # An older Keyturn takes over the Lease with the annotation of its predecessor.
    return document if document.get("identity") == identity else {}


def _document(annotations: dict[str, str]) -> dict[str, Any]:
    try:
        document = json.loads(annotations.get(HOLDER, ""))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def renewal_of(lease: Body) -> datetime | None:
    """Return when a Lease was last renewed or released; None without a readable time."""
    try:
        time = datetime.fromisoformat(str((lease.get("spec") or {}).get("renewTime")))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)

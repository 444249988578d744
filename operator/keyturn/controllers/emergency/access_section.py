"""Section of the incident document about access: subjects that may read exposed secrets, and those that did."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.core.labels import ACKNOWLEDGE_AUDIT

from .markdown import code, section, table, text, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation
    from keyturn.core.emergency.progress import Affected
    from keyturn.core.emergency.readers import Reader, Readership

READERS_BEFORE: Final = timedelta(days=30)
"""How long before the declaration readers are listed; a reader that is not listed then is new."""
_MOST_READERS: Final = 500
_MOST_REFUSED: Final = 100


def readership(
    emergency: EmergencyRotation,
    known: Mapping[str, Affected | None],
    readers: Readership | None,
) -> Iterator[str]:
    """Yield the section: permitted subjects of the affected secrets, and recorded reads."""
    namespace = code(emergency.metadata.namespace)
    count = len({workload for found in known.values() if found for workload in found.workloads})
    yield from section("Who could read them, and who did")
    yield f"- Pods of the {count} workloads above, and every subject that may open a shell in them."
    yield "- Every other pod that used these Secrets, such as those of Jobs, also one that has ended."
    yield f"- Every subject that may get, list or watch Secrets, or create pods, in namespace {namespace}."
    yield "- Every reader of backups of the cluster or its etcd."
    yield ""
    if readers is None:
        yield "Keyturn has no access report for this incident. The API server's audit log has the readers: search for"
        yield f"the verbs get, list and watch on `secrets` of namespace {namespace} before the declaration."
    else:
        yield from _access_report(readers)
    yield f"When that is done, write your name into the annotation `{ACKNOWLEDGE_AUDIT}`."


def _access_report(found: Readership) -> Iterator[str]:
    """Yield the recorded reads; a subject that listed a whole namespace appears once."""
    rows = {
        (one.subject, one.reach, name if one.reach == "secret" else ""): (name, one)
        for name, one in found.readers
    }
    yield f"{len(rows)} readers other than Keyturn are in the API server's audit events, from {READERS_BEFORE.days}"
    yield "days before until now, the latest first. Nodes read for their pods. `new` means: the reader has no event"
    yield "before this period, and the learning period was over."
    yield ""
    if rows:
        header = ("Who", "Kind", "Read", "How", "First", "Last", "Times", "Before")
        yield from table(
            header, (_access(name, one, found.since) for name, one in [*rows.values()][:_MOST_READERS])
        )
        yield ""
    if len(rows) > _MOST_READERS:
        yield f"{len(rows) - _MOST_READERS} more are not listed here; the audit log has them."
        yield ""
    yield from _refused(found)
    if found.forgotten:
        yield f"**This is not all.** About {found.forgotten} more are in the audit log only: the record of a Secret"
        yield "has room for its first and last readers."
        yield ""


def _refused(found: Readership) -> Iterator[str]:
    """Yield rejected attempts, the newest ones if there are many."""
    if not found.refused:
        return
    yield f"{len(found.refused)} tried and were refused, the last one first:"
    yield ""
    header = ("Who", "Kind", "How", "First", "Last", "Times")
    yield from table(header, (_attempt(one) for one in found.refused[:_MOST_REFUSED]))
    yield ""


def _attempt(one: Reader) -> tuple[str, ...]:
    how = ", ".join(text(verb) for verb in sorted(one.verbs))
    return text(one.subject), text(one.kind), how, when(one.first), when(one.last), str(one.count)


def _unknown(since: datetime) -> str:
    return f"unknown, recorded since {since:%Y-%m-%d}"


def _access(name: str, one: Reader, since: datetime | None) -> tuple[str, ...]:
    what = {"secret": code(name), "namespace": "all of the namespace", "cluster": "all of the cluster"}
    return (
        text(one.subject),
        text(one.kind),
        what.get(one.reach, "-"),
        ", ".join(text(verb) for verb in sorted(one.verbs)),
        when(one.first),
        when(one.last),
        str(one.count),
        one.status if one.status is not ReaderStatus.UNKNOWN or since is None else _unknown(since),
    )

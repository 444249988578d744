"""The incident document: what happened, when, to which secrets and services, and what is still open, as Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from .core.clockwork import open_stages
from .core.declaration import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT, deadlines_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from .api.emergency import AffectedSecret, EmergencyRotation
    from .core.affected import Affected
    from .core.reader import Reader

__all__ = ["LARGEST", "READERS_BEFORE", "document", "text"]

READERS_BEFORE: Final = timedelta(days=30)
"""For how long before the declaration the document names readers; who was not there before is new."""
_MOST_READERS: Final = 500
LARGEST: Final = 800 * 1024
"""Bytes; a ConfigMap holds 1 MiB."""
_SHORTENED: Final = (
    "\n(The document is cut here, since a ConfigMap holds no more. The status has the rest.)\n"
)
# Whatever Markdown, HTML and what makes links of addresses take for more than a letter.
_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]()#+!|]|[<>&~]|://|www\.", re.IGNORECASE)
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "~": "&#126;", "://": "&#58;//"}
_STAGES: Final = {
    "Rotated": "Rotate the secrets (at once)",
    "ServicesUpdated": "Update all services (1 hour)",
    "AccessAudited": "Audit access logs (24 hours)",
    "Documented": "Document the incident (48 hours)",
}


def document(
    emergency: EmergencyRotation,
    by: str,
    rows: Sequence[AffectedSecret],
    known: Mapping[str, Affected | None],
    readers: Sequence[tuple[str, Reader]] | None = None,
) -> str:
    """Write the document of an emergency with its newest status; equal facts make an equal document.

    `readers` are who read each secret lately, the last one first; None where nobody tells.
    """
    parts = (
        _head(emergency, by),
        _deadlines(emergency),
        _secrets(rows),
        _services(known),
        _elsewhere(known),
        _readers(emergency, known, readers),
        _open(emergency, rows, known),
        _timeline(emergency),
    )
    return _bounded("\n".join(line for part in parts for line in part))


def text(written: str) -> str:
    """Make words of others mean nothing but themselves, wherever Markdown is shown."""
    visible = (letter for letter in written if unicodedata.category(letter) not in {"Cc", "Cf", "Zl", "Zp"})
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0]) or _escaped(found[0]), "".join(visible))


def _escaped(special: str) -> str:
    return f"{special[:-1]}\\{special[-1]}"


def _head(emergency: EmergencyRotation, by: str) -> Iterator[str]:
    spec, metadata = emergency.spec, emergency.metadata
    yield f"# Incident {text(spec.incident or metadata.name)}"
    yield ""
    yield f"Written by Keyturn from the EmergencyRotation {_name(metadata.name)} of namespace"
    yield f"{_name(metadata.namespace)}. It is written anew until the incident is closed: keep notes elsewhere."
    yield ""
    yield "## What happened"
    yield ""
    yield text(spec.reason)
    yield ""
    yield from _table(
        ("", ""),
        (
            ("Declared", _time(metadata.creation_timestamp)),
            # Kubernetes keeps no person's name with an object; its audit log does.
            ("Declared with", text(by) or "unknown"),
            ("Incident", text(spec.incident or "-")),
            ("Contact", text(spec.contact or "-")),
            ("Old values", str(spec.revoke or "Immediately")),
        ),
    )


def _deadlines(emergency: EmergencyRotation) -> Iterator[str]:
    status = emergency.status
    done = {
        "Rotated": status.rotated_at,
        "ServicesUpdated": status.services_updated_at,
        "AccessAudited": status.access_audit_at,
        "Documented": status.documented_at,
    }
    missed = {one.what.split(" ", 1)[0] for one in status.timeline if one.reason == "DeadlineMissed"}
    started = emergency.metadata.creation_timestamp
    due = deadlines_of(started) if started else {}
    yield from _section("The clock")
    yield from _table(
        ("What", "Due", "Done", "In time"),
        (
            (title, _time(due.get(stage)), _time(done[stage]), "no" if stage in missed else _yes(done[stage]))
            for stage, title in _STAGES.items()
        ),
    )


def _yes(done: datetime | None) -> str:
    return "yes" if done else "-"


def _secrets(rows: Sequence[AffectedSecret]) -> Iterator[str]:
    yield from _section("Secrets")
    yield from _table(
        ("ManagedSecret", "State", "Revision", "Rotated", "Services updated", "Note"),
        (
            (
                _name(one.name),
                str(one.state),
                str(one.revision or "-"),
                _time(one.rotated_at),
                _time(one.updated_at),
                text(one.message or ""),
            )
            for one in rows
        ),
    )


def _services(known: Mapping[str, Affected | None]) -> Iterator[str]:
    used: defaultdict[str, list[str]] = defaultdict(list)
    for name, found in sorted(known.items()):
        for workload in found.workloads if found else ():
            used[workload].append(name)
    yield from _section("Services")
    if not used:
        yield "No workload of the namespace uses these secrets."
        return
    rows = (
        (_name(workload), ", ".join(_name(one) for one in names)) for workload, names in sorted(used.items())
    )
    yield from _table(("Workload", "Uses"), rows)


def _elsewhere(known: Mapping[str, Affected | None]) -> Iterator[str]:
    """Name what Keyturn cannot replace."""
    found = [(name, one) for name, one in sorted(known.items()) if one and (one.pulled or one.literals)]
    if not found:
        return
    yield from _section("Not made here")
    yield "These values are not generated by Keyturn. Turn the first at their stores, and change the second in the"
    yield "spec, where they were part of what leaked."
    yield ""
    yield from _table(
        ("ManagedSecret", "Kept in a store", "Written in the spec"),
        (
            (
                _name(name),
                ", ".join(_name(item) for item in one.pulled),
                ", ".join(_name(item) for item in one.literals),
            )
            for name, one in found
        ),
    )


def _readers(
    emergency: EmergencyRotation,
    known: Mapping[str, Affected | None],
    readers: Sequence[tuple[str, Reader]] | None,
) -> Iterator[str]:
    namespace = _name(emergency.metadata.namespace)
    count = len({workload for found in known.values() if found for workload in found.workloads})
    yield from _section("Who could read them, and who did")
    yield f"- Pods of the {count} workloads above, and whoever may open a shell in them."
    yield f"- Whoever may get, list or watch Secrets, or create pods, in namespace {namespace}."
    yield "- Whoever reads the backups of the cluster or its etcd."
    yield ""
    if readers is None:
        yield "Keyturn has no access report for this incident. The API server's audit log tells who read: look for"
        yield f"the verbs get, list and watch on `secrets` of namespace {namespace} before the declaration."
    else:
        yield from _access_report(readers)
    yield f"When that is done, write your name into the annotation `{ACKNOWLEDGE_AUDIT}`."


def _access_report(readers: Sequence[tuple[str, Reader]]) -> Iterator[str]:
    """Tell who read what; who asked for all of a namespace stands there once."""
    rows = {
        (one.subject, one.reach, name if one.reach == "secret" else ""): (name, one) for name, one in readers
    }
    yield f"In the {READERS_BEFORE.days} days before, and since, {len(rows)} readers were seen in the API server's"
    yield "audit events, the last one first, Keyturn apart. Nodes read for the pods that they run."
    yield ""
    if rows:
        header = ("Who", "Kind", "Read", "How", "First", "Last", "Times", "Then")
        yield from _table(header, (_access(name, one) for name, one in [*rows.values()][:_MOST_READERS]))
        yield ""
    if len(rows) > _MOST_READERS:
        yield f"{len(rows) - _MOST_READERS} more are not listed here; the audit log has them."
        yield ""


def _access(name: str, one: Reader) -> tuple[str, ...]:
    what = {"secret": _name(name), "namespace": "all of the namespace", "cluster": "all of the cluster"}
    return (
        text(one.subject),
        text(one.kind),
        what.get(one.reach, "-"),
        ", ".join(text(verb) for verb in sorted(one.verbs)),
        _time(one.first),
        _time(one.last),
        str(one.count),
        "new" if one.is_new else "known",
    )


def _open(
    emergency: EmergencyRotation, rows: Sequence[AffectedSecret], known: Mapping[str, Affected | None]
) -> Iterator[str]:
    yield from _section("What is open")
    waiting = open_stages(emergency)
    unfinished = [one for one in rows if one.state not in {"RolledOut", "NothingToRotate"}]
    lines = [f"- [ ] {_STAGES[stage]}, due {_time(due)}" for stage, due in waiting.items()]
    lines += [f"- [ ] {_name(one.name)} is {one.state}: {text(one.message or 'wait')}" for one in unfinished]
    lines += [
        f"- [ ] Turn what {_name(name)} keeps in a store"
        for name, one in sorted(known.items())
        if one and one.pulled
    ]
    yield from lines or ["Nothing."]
    if "Documented" in waiting:
        yield ""
        yield f"To close the incident, write your name into the annotation `{ACKNOWLEDGE_REPORT}`."


def _timeline(emergency: EmergencyRotation) -> Iterator[str]:
    yield from _section("Timeline")
    yield from _table(
        ("Time", "What", "Who"),
        (
            (
                _time(one.time) + (f" to {_time(one.until)}" if one.until else ""),
                text(one.what) + (f" ({one.count} in all)" if one.until else ""),
                text(one.who),
            )
            for one in emergency.status.timeline
        ),
    )


def _section(title: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _name(name: str) -> str:
    """Write a name of Kubernetes as code, so that none becomes a link; such names have no backtick."""
    return f"`{name.replace('`', '').replace('|', '')}`"


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else "-"


def _bounded(whole: str) -> str:
    encoded = f"{whole}\n".encode()
    if len(encoded) <= LARGEST:
        return encoded.decode()
    return encoded[:LARGEST].rpartition(b"\n")[0].decode() + _SHORTENED

"""Incident document in Markdown: timeline, affected secrets and workloads, and what is still open."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from keyturn.api.emergency import AffectedLogin, AffectedSecret, EmergencyRotation
from keyturn.core.emergency.progress import Affected
from keyturn.core.emergency.timeline import STAGES, deadlines_of, open_stages
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.observation.emergency import Reader, Readership, ReaderStatus
from keyturn.core.reasons import EmergencyReason, TimelineReason

LARGEST: Final = 800 * 1024
"""Bytes; a ConfigMap holds at most 1 MiB."""
_SHORTENED: Final = (
    "\n(The document is cut here, since a ConfigMap holds no more. The status has the rest.)\n"
)
# Characters and sequences with a meaning in Markdown or HTML, and those that make a link of an address.
_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]()#+!|]|[<>&~]|://|www\.", re.IGNORECASE)
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "~": "&#126;", "://": "&#58;//"}


def text(written: str) -> str:
    """Escape foreign text, so that every Markdown renderer shows it literally."""
    visible = (letter for letter in written if unicodedata.category(letter) not in {"Cc", "Cf", "Zl", "Zp"})
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0]) or _escaped(found[0]), "".join(visible))


def _escaped(special: str) -> str:
    return f"{special[:-1]}\\{special[-1]}"


def section(title: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def code(name: str) -> str:
    """Write a Kubernetes name as a code span, which no renderer turns into a link; such names have no backtick."""
    return f"`{name.replace('`', '').replace('|', '')}`"


def when(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else "-"


def bounded(whole: str) -> str:
    encoded = f"{whole}\n".encode()
    if len(encoded) <= LARGEST:
        return encoded.decode()
    return encoded[:LARGEST].rpartition(b"\n")[0].decode() + _SHORTENED


READERS_BEFORE: Final = timedelta(days=30)
"""How long before the declaration readers are listed; a reader that is not listed then is new."""
_MOST_READERS: Final = 500
_MOST_REFUSED: Final = 100


def readership(
    emergency: EmergencyRotation, known: Mapping[str, Affected | None], readers: Readership | None
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


def document(
    emergency: EmergencyRotation,
    by: str,
    rows: Sequence[AffectedSecret],
    known: Mapping[str, Affected | None],
    readers: Readership | None,
) -> str:
    """Return the document for an emergency with a new status; equal input gives equal text.

    `readers` has the recorded reads; None without audit events.
    """
    parts = (
        _head(emergency, by),
        _deadlines(emergency),
        _secrets(rows, emergency),
        _unread(known),
        _services(known),
        _elsewhere(known),
        _stores(known),
        _logins(rows),
        readership(emergency, known, readers),
        _open(emergency, rows, known),
        _timeline(emergency),
    )
    return bounded("\n".join(line for part in parts for line in part))


def _head(emergency: EmergencyRotation, by: str) -> Iterator[str]:
    spec, metadata = emergency.spec, emergency.metadata
    yield f"# Incident {text(spec.incident or metadata.name)}"
    yield ""
    yield f"Written by Keyturn from the EmergencyRotation {code(metadata.name)} of namespace"
    yield f"{code(metadata.namespace)}. It is rewritten until the incident is closed: keep notes elsewhere."
    yield ""
    yield "## What happened"
    yield ""
    yield text(spec.reason)
    yield ""
    yield from table(
        ("", ""),
        (
            ("Declared", when(metadata.creation_timestamp)),
            # Kubernetes stores no author with an object; only its audit log has that.
            ("Declared with", f"{text(by) or 'unknown'} (the client's own name, not verified)"),
            ("Incident", text(spec.incident or "-")),
            ("Contact", text(spec.contact or "-")),
            *((text(role), text(contact)) for role, contact in (emergency.status.contacts or {}).items()),
            ("Old values", str(spec.revoke or "Immediately")),
            *((("Values", ", ".join(code(item) for item in spec.items)),) if spec.items else ()),
        ),
    )


def _deadlines(emergency: EmergencyRotation) -> Iterator[str]:
    status = emergency.status
    done = status.stage_times
    missed = {one.time for one in status.timeline if one.reason == TimelineReason.DEADLINE_MISSED}
    started = emergency.metadata.creation_timestamp
    due = deadlines_of(started) if started else {}
    yield from section("Deadlines")
    yield from table(
        ("What", "Due", "Done", "In time"),
        (
            (
                stage.task,
                when(due.get(name)),
                when(done[name]),
                "no" if due.get(name) in missed else "yes" if done[name] else "-",
            )
            for name, stage in STAGES.items()
        ),
    )


def _secrets(rows: Sequence[AffectedSecret], emergency: EmergencyRotation) -> Iterator[str]:
    values = ("Values",) if emergency.spec.items else ()
    yield from section("Secrets")
    yield from table(
        ("ManagedSecret", *values, "State", "Revision", "Rotated", "Services updated", "Note"),
        (
            (
                code(one.name),
                *(", ".join(code(item) for item in one.items or ()) for _ in values),
                str(one.state),
                str(one.revision or "-"),
                when(one.rotated_at),
                when(one.updated_at),
                text(one.message or ""),
            )
            for one in rows
        ),
    )


def _unread(known: Mapping[str, Affected | None]) -> Iterator[str]:
    """Yield the secrets whose progress was unknown for too long."""
    if names := _names_unread(known):
        yield ""
        yield f"Keyturn could not read {', '.join(names)} before it wrote this. Each state above is the last known"
        yield "one, and the sections below lack workloads, pods, stores and other places of these secrets."


def _names_unread(known: Mapping[str, Affected | None]) -> list[str]:
    return [code(name) for name, one in sorted(known.items()) if one is None]


def _services(known: Mapping[str, Affected | None]) -> Iterator[str]:
    used: defaultdict[str, list[str]] = defaultdict(list)
    for name, entry in sorted(known.items()):
        for workload in entry.workloads if entry else ():
            used[workload].append(name)
    yield from section("Services")
    if used:
        rows = (
            (code(workload), ", ".join(code(one) for one in names))
            for workload, names in sorted(used.items())
        )
        yield from table(("Workload", "Uses"), rows)
    else:
        yield "No workload that Keyturn restarts uses these secrets."
    yield ""
    yield from _other_pods(known)


def _other_pods(known: Mapping[str, Affected | None]) -> Iterator[str]:
    """Yield the pods that Keyturn does not restart, as far as they were read."""
    found = [(name, other) for name, one in sorted(known.items()) if one for other in one.others or ()]
    unread = [name for name, one in sorted(known.items()) if one is None or one.others is None]
    if found:
        yield "Pods with other owners, or none, hold exposed values. Keyturn does not restart them."
        yield ""
        yield from table(("ManagedSecret", "Pods"), ((code(name), text(other)) for name, other in found))
    if unread:
        names = ", ".join(code(name) for name in unread)
        yield f"Pods with other owners are not listed for {names}: see the state of each secret above."
    elif not found:
        yield "No other pod of the namespace held an exposed value when Keyturn read them."


def _elsewhere(known: Mapping[str, Affected | None]) -> Iterator[str]:
    """Yield what Keyturn cannot rotate."""
    kept = {name: (one.pulled, one.literals, one.found) for name, one in sorted(known.items()) if one}
    rows = [(name, places) for name, places in kept.items() if any(places)]
    if not rows:
        return
    yield from section("Values that Keyturn does not generate")
    yield "Rotate values of stores at their stores, and change those of the spec in the spec, if they may have"
    yield "leaked. Values found in the Secret were there when Keyturn adopted it: replace them there, or write an"
    yield "item of data for each."
    yield ""
    yield from table(
        ("ManagedSecret", "Kept in a store", "Written in the spec", "Found in the Secret"),
        (
            (code(name), *(", ".join(code(item) for item in items) for items in places))
            for name, places in rows
        ),
    )


def _stores(known: Mapping[str, Affected | None]) -> Iterator[str]:
    """Yield the places outside the cluster that may hold exposed values."""
    found = [(name, place) for name, one in sorted(known.items()) if one for place in one.unpushed]
    if not found:
        return
    yield from section("Stores that may have exposed values")
    yield "Values of earlier revisions were pushed to these places, which may still have them."
    yield ""
    yield from table(
        ("ManagedSecret", "Place", "Note"),
        ((code(name), text(place.place), text(place.message)) for name, place in found),
    )


def _logins(rows: Sequence[AffectedSecret]) -> Iterator[str]:
    """Yield the database logins with exposed passwords, each with the proof that it is refused."""
    found = [(row.name, login) for row in rows for login in row.logins or ()]
    if not found:
        return
    yield from section("Database logins")
    yield "These logins have passwords from before the declaration. Refused means: at the server, and at each address"
    yield "of `alsoAt`, a login with the old password was refused, and one with the published password accepted."
    yield ""
    yield from table(
        ("ManagedSecret", "Login", "Revision", "State"),
        ((code(name), text(one.login), str(one.revision or "unknown"), _proof(one)) for name, one in found),
    )


def _proof(one: AffectedLogin) -> str:
    if one.refused_at and one.revision is None:  # without its password no login can be tried
        return f"seen closed at the server at {when(one.refused_at)}"
    if one.refused_at:
        return f"proven refused at {when(one.refused_at)}"
    return f"may still be accepted: {text(one.message or 'wait')}"


def _open(
    emergency: EmergencyRotation, rows: Sequence[AffectedSecret], known: Mapping[str, Affected | None]
) -> Iterator[str]:
    yield from section("What is open")
    waiting = open_stages(emergency)
    unfinished = [one for one in rows if not one.state.is_done]
    lines = [f"- [ ] {STAGES[stage].task}, due {when(due)}" for stage, due in waiting.items()]
    lines += [
        f"- [ ] {text(one.message)}"
        for one in emergency.status.conditions
        if (one.type, one.reason) == ("Stalled", EmergencyReason.ITEM_NOT_FOUND)
    ]
    lines += [
        f"- [ ] {code(one.name)} is {one.state}: {text(point)}"
        for one in unfinished
        for point in _points_of(one, known.get(one.name))
    ]
    lines += [
        f"- [ ] Rotate the values that {code(name)} reads from a store"
        for name, one in sorted(known.items())
        if one and one.pulled
    ]
    lines += [
        f"- [ ] Replace what {code(name)} keeps of the Secret that it adopted"
        for name, one in sorted(known.items())
        if one and one.found
    ]
    lines += [
        f"- [ ] Make sure that {text(place.place)}, where {code(name)} is pushed to, has no exposed value"
        for name, one in sorted(known.items())
        for place in (one.unpushed if one else ())
    ]
    lines += [
        f"- [ ] The database may still accept {text(one.login)} of {code(row.name)}: {text(one.message or 'wait')}"
        for row in rows
        for one in row.logins or ()
        if one.refused_at is None
    ]
    lines += [f"- [ ] Check {name}, which Keyturn could not read" for name in _names_unread(known)]
    yield from lines or ["Nothing."]
    if "Documented" in waiting:
        yield ""
        yield f"To close the incident, write your name into the annotation `{ACKNOWLEDGE_REPORT}`."


def _points_of(row: AffectedSecret, found: Affected | None) -> Sequence[str]:
    """Return everything that a secret waits for, of which the status has as much as fits."""
    return (found.open_points if found else ()) or (row.message or "wait",)


def _timeline(emergency: EmergencyRotation) -> Iterator[str]:
    yield from section("Timeline")
    yield from table(
        ("Time", "What", "Who"),
        (
            (
                when(one.time) + (f" to {when(one.until)}" if one.until else ""),
                text(one.what) + (f" ({one.count} in all)" if one.until else ""),
                text(one.who),
            )
            for one in emergency.status.timeline
        ),
    )

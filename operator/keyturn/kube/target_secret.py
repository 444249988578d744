"""Target Secret: serialisation, comparison with the state, and ownership.

It is written whole, by POST and PUT, never by PATCH: the answer to a malformed patch contains the stored Secret.

Types, owner references, labels and annotations tell who owns a Secret; one with another owner is never adopted.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from keyturn.api import GROUP, VERSION
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import (
    CREATION_POLICY,
    KEYTURN,
    MANAGED_BY,
    OVERLAP_ANNOTATION,
    OWNER_LABEL,
    PUBLISHED_ANNOTATION,
    REVISION_ANNOTATION,
    SERVICE_ACCOUNT_TOKEN,
    SESSION_TYPE,
    STATE_TYPE,
    TEMPLATE,
)
from keyturn.core.observation.external import manager_of
from keyturn.core.observation.observed import TargetFacts
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.references import UNKNOWN_SOURCE
from keyturn.core.state.records import Revision, changed_keys
from keyturn.core.state.state import State
from keyturn.core.times import time_of
from keyturn.core.value import Value

from .secret_informer import number_of
from .wire import Body

LARGEST = 1024 * 1024
"""Maximum bytes of data in one Secret (Kubernetes, "Secrets", section "Data size")."""
_TOLERANCE = timedelta(days=1)
"""How far ahead a recorded time may be, because a clock may have been set back since."""
_MERGE = "Merge"
# Annotations that are removed when the current spec does not set them.
_PASSING = (OVERLAP_ANNOTATION, CREATION_POLICY, TEMPLATE)
_KIND = "ManagedSecret"
# Types of Secrets that are internal to a program; no other writer may change them.
_FILLED_BY = {
    SERVICE_ACCOUNT_TOKEN: "Kubernetes",
    "bootstrap.kubernetes.io/token": "Kubernetes",
    "helm.sh/release.v1": "Helm",
    SESSION_TYPE: "Keyturn",
    STATE_TYPE: "Keyturn",
}
_NAME = re.compile(r"[\w./:-]{1,64}")
# Labels and annotations of programs that continue to write the Secrets that have them. Sources: the projects'
# documentation of their labels and annotations.
_LABELS = {
    "reconcile.external-secrets.io/managed": "External Secrets",
    "reconcile.external-secrets.io/created-by": "External Secrets",
    "controller.cert-manager.io/fao": "cert-manager",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_ANNOTATIONS = {
    "reconcile.external-secrets.io/data-hash": "External Secrets",
    "cert-manager.io/certificate-name": "cert-manager",
    "sealedsecrets.bitnami.com/managed": "Sealed Secrets",
    "secret-generator.v1.mittwald.de/autogenerate": "the secret generator of mittwald",
    "meta.helm.sh/release-name": "Helm",
    "argocd.argoproj.io/tracking-id": "Argo CD",
}


def owner_of(body: Body) -> str | None:
    """Return the ManagedSecret in a Secret's label, or None."""
    return (body["metadata"].get("labels") or {}).get(OWNER_LABEL) or None


def size_of(body: Body) -> int:
    """Return the bytes of data in a Secret, estimated from their base64."""
    return sum(len(data) * 3 // 4 for data in body["data"].values())


@dataclass(frozen=True, slots=True)
class Stamp:
    """Annotations of a target Secret about its revision."""

    number: int
    published: datetime
    overlapping: bool = False
    """It has the values of the overlap."""
    binder: str = ""
    """UID of the ManagedSecret in its owner references; empty without owner reference."""


def target_body(key: ObjectKey, desired: Desired, state: State, stamp: Stamp, found: Body | None) -> Body:
    """Return the target Secret with the current revision; foreign labels and annotations stay."""
    before = found["metadata"] if found else {}
    metadata = {"name": desired.secret, "namespace": key.namespace, **_metadata(key, desired, stamp, before)}
    for kept in ("resourceVersion", "finalizers"):
        if kept in before:
            metadata[kept] = before[kept]
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": found["type"] if found and desired.target_policy.any_type else desired.type.value,
        "data": _data(key, desired, state, stamp, found),
    }
    if _is_to_be_immutable(desired, stamp) or (found and found.get("immutable")):  # it cannot be unset
        body["immutable"] = True
    return body


def _is_to_be_immutable(desired: Desired, stamp: Stamp) -> bool:
    """Whether the values are final: those of an overlap are still to be removed."""
    return desired.target_policy.immutable and not stamp.overlapping


def target_facts(
    body: Body, key: ObjectKey, uid: str, desired: Desired | None, state: State | None, now: datetime
) -> TargetFacts:
    """Compare a target Secret with the state of its revision.

    With an invalid spec (`desired` None) its labels and annotations count as matching.
    """
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {})
    number = number_of(annotations.get(REVISION_ANNOTATION))
    published = plausible(time_of(annotations.get(PUBLISHED_ANNOTATION)), now)
    overlapping = OVERLAP_ANNOTATION in annotations
    binder = uid if desired and desired.target_policy.deletes else ""
    stamp = Stamp(number or 0, published, overlapping, binder) if published else None
    facts = TargetFacts(
        owner=owner_of(body),
        revision=number,
        published=published,
        overlapping=overlapping,
        differs=_differing(body, desired, state, stamp),
        has_metadata_of_spec=desired is None
        or (stamp is not None and _has_metadata(body, key, desired, stamp)),
        immutable=bool(body.get("immutable")),
        changed_by=other_writer(metadata),
        account_manager=manager_of(metadata.get("labels") or {}),
    )
    return facts if desired is None else _with_others(facts, body, key, uid, desired, state)


def _with_others(
    facts: TargetFacts, body: Body, key: ObjectKey, uid: str, desired: Desired, state: State | None
) -> TargetFacts:
    """Return the facts with those about foreign owners, types and keys."""
    if _holds_keys_of_others(body, desired, state):
        facts = replace(facts, owner=None)
    mine = facts.owner == key.name
    is_of_type = desired.target_policy.any_type or body.get("type") == desired.type.value
    return replace(
        facts,
        foreign_owner=None if mine else foreign_owner(body["metadata"], uid),
        filled_by=None if mine else filled_by(body.get("type", "")),
        other_type=None if mine or is_of_type else body["type"],
        taken=_conflicting_keys(body, key, desired, state) if desired.target_policy.merges else frozenset(),
    )


def plausible(time: datetime | None, now: datetime) -> datetime | None:
    """Return `time` unless it is more than a day ahead, because waiting for it would never end."""
    return time if time and time <= now + _TOLERANCE else None


def values_of(body: Body) -> dict[str, Value]:
    """Return every value of a target Secret."""
    return {name: Value.from_base64(data) for name, data in (body.get("data") or {}).items()}


# Labels, annotations and owner references.


def _metadata(key: ObjectKey, desired: Desired, stamp: Stamp, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata to write: Keyturn's own, with foreign labels and annotations kept."""
    labels, annotations = before.get("labels") or {}, before.get("annotations") or {}
    gone = set(annotations.get(TEMPLATE, "").split(",")) - _of_template(desired)
    others = {
        "labels": {name: text for name, text in labels.items() if f"label:{name}" not in gone},
        "annotations": {
            name: text
            for name, text in annotations.items()
            if name not in _PASSING and f"annotation:{name}" not in gone
        },
    }
    metadata = {
        "labels": {**others["labels"], **desired.labels, OWNER_LABEL: key.name},
        "annotations": {**others["annotations"], **_annotations(desired, stamp)},
    }
    owners = before.get("ownerReferences") or []
    ours = owner_reference(key, stamp.binder) if stamp.binder else None
    if ours not in owners:
        owners = [one for one in owners if not is_ours(one, key)] + ([ours] if ours else [])
    return {**metadata, "ownerReferences": owners} if owners else metadata


def _of_template(desired: Desired) -> set[str]:
    return {f"label:{name}" for name in desired.labels} | {
        f"annotation:{name}" for name in desired.annotations
    }


def _annotations(desired: Desired, stamp: Stamp) -> dict[str, str]:
    passing = {
        OVERLAP_ANNOTATION: "true" if stamp.overlapping else "",
        CREATION_POLICY: _MERGE if desired.target_policy.merges else "",
        TEMPLATE: ",".join(sorted(_of_template(desired))),
    }
    return {
        **desired.annotations,
        REVISION_ANNOTATION: str(stamp.number),
        PUBLISHED_ANNOTATION: stamp.published.isoformat(),
        **{name: text for name, text in passing.items() if text},
    }


def _has_metadata(body: Body, key: ObjectKey, desired: Desired, stamp: Stamp) -> bool:
    metadata = body["metadata"]
    actual = {
        part: metadata[part] for part in ("labels", "annotations", "ownerReferences") if metadata.get(part)
    }
    is_immutable = bool(body.get("immutable")) or not _is_to_be_immutable(desired, stamp)
    return is_immutable and _metadata(key, desired, stamp, metadata) == actual


# Keys.


def _data(key: ObjectKey, desired: Desired, state: State, stamp: Stamp, found: Body | None) -> dict[str, str]:
    written = state.current.published_data(overlapping=stamp.overlapping)
    ours = {name: value.to_base64() for name, value in written.items()}
    if found is None or not desired.target_policy.merges:
        return ours
    carried = _carried_keys(found, key, state)
    others = {name: text for name, text in (found.get("data") or {}).items() if name not in carried}
    return {**others, **ours}


def _carried_keys(body: Body, key: ObjectKey, state: State) -> frozenset[str]:
    """Return the keys of a Secret that Keyturn has written.

    Those of dataFrom that it had before a loss of the state are known after the next read.
    """
    if owner_of(body) != key.name:
        return frozenset()
    carried, current = _carried(body, state), state.current.values
    lost = (name for name, kept in carried.values.items() if kept.recipe == UNKNOWN_SOURCE)
    read = (current[name].keys.values() for name in lost if name in current)
    return frozenset(carried.published_data(overlapping=True)).union(*read)


def _carried(body: Body, state: State) -> Revision:
    annotations = body["metadata"].get("annotations") or {}
    number = number_of(annotations.get(REVISION_ANNOTATION))
    return state.current if number is None else state.revisions.get(number, state.current)


def _differing(
    body: Body, desired: Desired | None, state: State | None, stamp: Stamp | None
) -> frozenset[str]:
    if state is None:
        return frozenset()
    written = _carried(body, state).published_data(overlapping=bool(stamp and stamp.overlapping))
    actual = values_of(body)
    if desired and desired.target_policy.merges:
        actual = {name: value for name, value in actual.items() if name in written}
    return changed_keys(written, actual)


def _holds_keys_of_others(body: Body, desired: Desired, state: State | None) -> bool:
    """Whether it was merged into a foreign Secret, whose keys a whole write would remove."""
    annotations = body["metadata"].get("annotations") or {}
    if desired.target_policy.merges or annotations.get(CREATION_POLICY) != _MERGE:
        return False
    ours = _carried(body, state).published_data(overlapping=True) if state else {}
    return not values_of(body).keys() <= ours.keys()


def _conflicting_keys(body: Body, key: ObjectKey, desired: Desired, state: State | None) -> frozenset[str]:
    """Return the keys of the spec that exist and were not written by Keyturn.

    Values are not compared, except with those that an adoption recorded: if an equal value were no conflict, an
    author could test guesses by literals.
    """
    if state is None and owner_of(body) == key.name:
        return frozenset()  # it is own, and only its record is lost
    carried = _carried_keys(body, key, state) if state else frozenset[str]()
    adopted = (
        [revision.data() for revision in state.revisions.values()]
        if state and desired.target_policy.adopts
        else []
    )
    brought = state.current.data().keys() if state else frozenset[str]()  # may come from dataFrom
    return frozenset(
        name
        for name, value in values_of(body).items()
        if name in (desired.every_key | brought) - carried
        and not any(name in data and data[name] == value for data in adopted)
    )


def owner_reference(key: ObjectKey, uid: str) -> dict[str, Any]:
    """Return the owner reference that deletes a Secret with its ManagedSecret, without blocking the deletion."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": _KIND,
        "name": key.name,
        "uid": uid,
        "controller": True,
    }


def is_ours(reference: Mapping[str, Any], key: ObjectKey) -> bool:
    """Whether an owner reference names the ManagedSecret, also a deleted one of that name."""
    return reference.get("kind") == _KIND and reference.get("name") == key.name


def filled_by(type_: str) -> str | None:
    """Return the program that fills Secrets of a type, or None."""
    who = _FILLED_BY.get(type_)
    return f"{who} (type {type_})" if who else None


def foreign_owner(metadata: Mapping[str, Any], uid: str) -> str | None:
    """Return the owner of a Secret with its evidence; None if it has none but the object with `uid`."""
    return next(_foreign_owners(metadata, uid), None)


def _foreign_owners(metadata: Mapping[str, Any], uid: str) -> Iterator[str]:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("uid") != uid:
            yield f"{reference.get('kind')} {reference.get('name')!r} (ownerReferences)"
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for label, who in _LABELS.items():
        if label in labels:
            yield f"{who} (label {label})"
    for annotation, who in _ANNOTATIONS.items():
        if annotation in annotations:
            yield f"{who} (annotation {annotation})"
    if labels.get(MANAGED_BY, KEYTURN) != KEYTURN:
        yield f"{labels[MANAGED_BY]} (label {MANAGED_BY})"


def other_writer(metadata: Mapping[str, Any]) -> str | None:
    """Return the last field manager other than Keyturn that owns fields; managers choose their own names."""
    others = (entry for entry in metadata.get("managedFields") or () if entry.get("manager") != KEYTURN)
    last = max(others, key=lambda entry: entry.get("time") or "", default=None)
    name = (last or {}).get("manager") or ""
    return name if _NAME.fullmatch(name) else None

"""Converts the target of an ExternalSecret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from keyturn.api.target import RESERVED_NAMES, TRACKING_ANNOTATIONS, TRACKING_LABELS

from .metadata import texts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .strict_reader import StrictReader

__all__ = ["MERGES", "NOTHING", "target"]

MERGES: Final = "Merge"
NOTHING: Final = "None"
_TYPES: Final = frozenset(
    {
        "kubernetes.io/basic-auth",
        "kubernetes.io/tls",
        "kubernetes.io/ssh-auth",
        "kubernetes.io/dockerconfigjson",
    }
)
_TRACKING: Final = frozenset({*TRACKING_LABELS, *TRACKING_ANNOTATIONS})
_RESERVED: Final = re.compile(RESERVED_NAMES)
_THEIRS: Final = "is not written into a Secret that is merged into; labels and annotations stay its maker's"
_WHERE_MADE: Final = "write them where the Secret is made"


def target(
    part: StrictReader, owner: StrictReader, name: str, short: str, texts: Mapping[str, str], *, once: bool
) -> dict[str, Any]:
    """Return spec.target of a ManagedSecret `short`, converted from an object `name` with the metadata `owner`."""
    template = part.part("template")
    body: dict[str, Any] = {}
    written = part.text("name") or name
    if written != short:
        body["name"] = written
    if type_ := _type(template):
        body["type"] = type_
    merges = part.text("creationPolicy") == MERGES
    if merges:
        body["creationPolicy"] = MERGES
    # The Secret exists, and its values are adopted.
    body["adopt"] = "IfUnowned"
    if not merges and part.text("creationPolicy") in {None, "Owner"}:
        body["deletionPolicy"] = "Delete"
    if once and not merges:
        body["immutable"] = True
    _report_on_loss(part)
    if "template" in part:
        metadata = _metadata(template.part("metadata"), merges=merges)
    else:
        metadata = _copied(owner, merges=merges)
    inner = {**({"metadata": metadata} if metadata else {}), **({"data": dict(texts)} if texts else {})}
    return {**body, "template": inner} if inner else body


def _type(template: StrictReader) -> str | None:
    written = template.text("type")
    if written in {None, "Opaque"}:
        return None
    if written in _TYPES:
        return written
    template.report.lost(
        template.at("type"),
        f"is {written}, which Keyturn does not write",
        "leave this one to External Secrets",
    )
    return None


def _report_on_loss(part: StrictReader) -> None:
    """Report that values which vanish at the store stay here."""
    policy = part.text("deletionPolicy")
    if policy in {"Delete", "Merge"}:
        part.report.lost(
            part.at("deletionPolicy"),
            f"{policy} removes what the store no longer has; Keyturn keeps the last good values and says so",
            "delete the ManagedSecret where the Secret is to go",
        )


def _metadata(metadata: StrictReader, *, merges: bool) -> dict[str, dict[str, str]]:
    if merges:
        for name in ("labels", "annotations"):
            metadata.lost(name, _THEIRS, _WHERE_MADE)
    metadata.lost("finalizers", "are not written by Keyturn", "write them yourself")
    read = {name: _plain(metadata.part(name)) for name in ("labels", "annotations")}
    return {} if merges else {name: texts for name, texts in read.items() if texts}


def _copied(owner: StrictReader, *, merges: bool) -> dict[str, dict[str, str]]:
    """Return the labels and annotations that External Secrets copies to the Secret if there is no template."""
    read = {name: texts_of(owner, name) for name in ("labels", "annotations")}
    if merges:
        for name in [name for name, texts in read.items() if texts]:
            owner.report.lost(owner.at(name), _THEIRS, _WHERE_MADE)
        return {}
    for name, texts in read.items():
        for key in _refused(texts):
            why = "which Argo CD or Flux would prune" if key in _TRACKING else "where it is the operator's"
            owner.part(name).changed(key, f"is not copied to the Secret, {why}")
            del texts[key]
    return {name: texts for name, texts in read.items() if texts}


def _plain(part: StrictReader) -> dict[str, str]:
    """Return labels or annotations; they are no templates here."""
    texts = {name: part.text(name) for name in part.names()}
    for name in _refused(texts):
        tracks = name in _TRACKING
        what = "makes Argo CD or Flux prune the Secret as its own" if tracks else "is a name of the operator"
        part.report.lost(part.at(name), what, "leave it out")
        del texts[name]
    for name, text in texts.items():
        if text and "{{" in text:
            part.report.lost(
                part.at(name), "is a template, as no label or annotation is", "write a fixed text", text
            )
    return {name: text for name, text in texts.items() if text is not None and "{{" not in text}


def _refused(names: Iterable[str]) -> list[str]:
    """Return the names of labels and annotations that the API refuses on a Secret."""
    return [name for name in names if name in _TRACKING or _RESERVED.match(name)]

"""Converts a Secret with annotations of mittwald's secret generator.

Source: README of kubernetes-secret-generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION

from .metadata import kept, pass_over
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from .findings import Report
    from .inputs import Body

__all__ = ["is_generated", "secret"]

_GROUP: Final = "secret-generator.v1.mittwald.de"
_MIN_LENGTH: Final = 32
_ENCODINGS: Final = {
    "base64": "base64",
    "base64url": "base64url",
    "base32": "base32",
    "hex": "hex",
    "raw": "raw",
}
_STATES: Final = ("autogenerate-generated-at", "secure", "length-generated")


def is_generated(body: Body) -> bool:
    """Whether annotations request values."""
    metadata = body.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and any(
        f"{_GROUP}/{name}" in annotations for name in ("autogenerate", "type")
    )


def secret(body: Body, report: Report) -> list[dict[str, Any]]:
    """Convert an annotated Secret; its values are not read, and are adopted in the cluster."""
    document = StrictReader(body, "", report)
    pass_over(document)
    document.ignore("data", "stringData", "type", "immutable")
    metadata = document.part("metadata")
    annotations = metadata.part("annotations")
    items = _items(annotations)
    object_ = kept(metadata)
    _tell_of_the_rest(annotations)
    document.tell_unread()
    held = _names(body)
    others = sorted(held - {item["name"] for item in items} - {key for item in items for key in _keys(item)})
    if others:
        report.lost(
            "data",
            f"has {', '.join(others)} as well, which a ManagedSecret removes from a Secret that is its own",
            "write creationPolicy: Merge, or name them in data as literals where they are no secrets",
        )
    if not items:
        report.lost(
            "metadata.annotations", "ask for nothing that could be converted", "write a ManagedSecret"
        )
        return []
    spec = {"target": {"adopt": "IfUnowned"}, "data": items}
    return [{"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": object_, "spec": spec}]


def _items(annotations: StrictReader) -> list[dict[str, Any]]:
    kind = annotations.text(f"{_GROUP}/type") or "string"
    if kind == "ssh-keypair":
        private = annotations.text(f"{_GROUP}/private-key-field") or "ssh-privatekey"
        public = annotations.text(f"{_GROUP}/public-key-field") or "ssh-publickey"
        annotations.changed(f"{_GROUP}/length", "is left out: an RSA key has 3072 bits")
        keys = {"privateKey": private, "publicKey": public}
        return [{"name": "ssh-key", "generate": {"sshKey": {"type": "rsa"}}, "keys": keys}]
    if kind == "basic-auth":
        settings: dict[str, Any] = {"username": annotations.text(f"{_GROUP}/basic-auth-username") or "admin"}
        return [{"name": "login", "generate": {"basicAuth": settings}}]
    if kind != "string":
        return []
    names = [name.strip() for name in (annotations.text(f"{_GROUP}/autogenerate") or "").split(",")]
    generate = _recipe(annotations)
    return [{"name": name, "generate": generate} for name in names if name]


def _recipe(annotations: StrictReader) -> dict[str, Any]:
    written = annotations.text(f"{_GROUP}/length") or "40"
    encoding = _ENCODINGS.get(annotations.text(f"{_GROUP}/encoding") or "base64", "base64")
    if written.lower().endswith("b"):
        count = int(written[:-1]) if written[:-1].isdecimal() else _MIN_LENGTH
        return {"bytes": {"length": max(count, _MIN_LENGTH), "encoding": encoding}}
    length = int(written) if written.isdecimal() else _MIN_LENGTH
    if length < _MIN_LENGTH:
        annotations.report.changed(
            annotations.at(f"{_GROUP}/length"), f"is {length}; a generated secret has at least {_MIN_LENGTH}"
        )
    return {"password": {"length": max(length, _MIN_LENGTH), "symbols": False}}


def _tell_of_the_rest(annotations: StrictReader) -> None:
    annotations.changed(
        f"{_GROUP}/regenerate", "made new values once", "write rotation.trigger to have it here"
    )
    annotations.ignore(*(f"{_GROUP}/{name}" for name in _STATES))


def _names(body: Body) -> set[str]:
    """Return the keys of a Secret, without its values."""
    return {str(name) for part in ("data", "stringData") for name in (body.get(part) or {})}


def _keys(item: dict[str, Any]) -> list[str]:
    if "basicAuth" in item["generate"]:
        return ["username", "password", "auth"]
    return list(item.get("keys", {}).values())

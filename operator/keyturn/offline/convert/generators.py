"""Converts generators of External Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .metadata import kept, pass_over
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .inputs import Inputs

__all__ = ["KINDS", "generated", "keys_of"]

_MIN_LENGTH: Final = 32
_KEY_SIZES: Final = {"rsa": "an RSA key has 3072 bits", "ecdsa": "an ECDSA key is on P-256"}
_SPECS: Final = {"passwordSpec": "Password", "uuidSpec": "UUID", "sshKeySpec": "SSHKey"}


def generated(ref: StrictReader, namespace: str, inputs: Inputs) -> dict[str, dict[str, Any]]:
    """Return the outputs of a generator by name, each as the source of an item."""
    kind, name = ref.text("kind") or "", ref.text("name") or ""
    ref.ignore("apiVersion")
    found = inputs.generator(kind, namespace, name)
    if found is None:
        ref.report.lost(
            ref.path,
            f"names the {kind} {name}, which is not among the files",
            "give its file as well, or write generate in data",
        )
        return {}
    _report_around_spec(StrictReader(found, f"{ref.path} -> {kind} {name}", ref.report))
    kind, spec = _kind_and_spec(kind, found)
    if kind not in KINDS:
        ref.report.lost(
            ref.path,
            f"generates a login for another system ({kind}), which Keyturn does not",
            "pull it from a store that has it",
        )
        return {}
    read = StrictReader(spec, f"{ref.path} -> spec", ref.report)
    made = KINDS[kind](read)
    read.report_unread()
    return made


def keys_of(name: str, source: Mapping[str, Any]) -> dict[str, str]:
    """Return the key of the Secret for each output of an item that `generated` returned."""
    if "sshKey" in source["generate"]:
        return {"privateKey": "privateKey", "publicKey": "publicKey", **source.get("keys", {})}
    return {"value": name}


def _report_around_spec(document: StrictReader) -> None:
    pass_over(document)
    document.ignore("spec")
    kept(document.part("metadata"))
    document.report_unread()


def _kind_and_spec(kind: str, body: Mapping[str, Any]) -> tuple[str, Any]:
    spec = body.get("spec")
    if kind != "ClusterGenerator" or not isinstance(spec, dict):
        return kind, spec
    inner = spec.get("generator")
    name = next(iter(inner), "") if isinstance(inner, dict) else ""
    return _SPECS.get(name, str(spec.get("kind") or name)), inner.get(name) if isinstance(
        inner, dict
    ) else None


def _password(spec: StrictReader) -> dict[str, dict[str, Any]]:
    settings: dict[str, Any] = {"length": _length(spec)}
    for name in ("digits", "symbols"):
        count = spec.number(name)
        if count == 0:
            settings[name] = False
        elif count is not None:
            spec.report.changed(spec.at(name), "is not kept: at least one is drawn, and how many is random")
    characters = spec.text("symbolCharacters")
    if characters and settings.get("symbols") is not False:
        settings["symbolCharacters"] = characters
    elif settings.get("symbols") is not False:
        spec.report.changed(
            spec.at("symbolCharacters"), "is absent, so symbols are drawn of -_.~ instead of all"
        )
    if spec.flag("noUpper"):
        settings["upper"] = False
    if spec.flag("allowRepeat") is False:
        spec.report.changed(spec.at("allowRepeat"), "is left out: characters may repeat, which is stronger")
    spec.lost_unless(
        "raw", "encoding", "encodes the password", "write a template with base64_encode in template.data"
    )
    names = spec.texts("secretKeys") or ["password"]
    return {name: {"generate": {"password": dict(settings)}} for name in names}


def _length(spec: StrictReader) -> int:
    length = spec.number("length")
    if length is not None and length >= _MIN_LENGTH:
        return length
    spec.report.changed(
        spec.at("length"), f"is {length or 24}; a generated secret has at least {_MIN_LENGTH}"
    )
    return _MIN_LENGTH


def _uuid(_: StrictReader) -> dict[str, dict[str, Any]]:
    return {"uuid": {"generate": {"uuid": {}}}}


def _ssh_key(spec: StrictReader) -> dict[str, dict[str, Any]]:
    settings: dict[str, Any] = {"type": spec.text("keyType") or "rsa"}
    if size := _KEY_SIZES.get(settings["type"]):
        spec.changed("keySize", f"is left out: {size}")
    else:
        spec.ignore("keySize")  # External Secrets does not read it either
    if comment := spec.text("comment"):
        settings["comment"] = comment
    return {"ssh-key": {"generate": {"sshKey": settings}}}


KINDS: Final[Mapping[str, Callable[[StrictReader], dict[str, dict[str, Any]]]]] = {
    "Password": _password,
    "SSHKey": _ssh_key,
    "UUID": _uuid,
}

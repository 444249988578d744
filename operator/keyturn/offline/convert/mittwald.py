"""Converts a Secret with annotations of mittwald's secret generator.

Sources: kubernetes-secret-generator, README and `pkg/controller/secret`.
"""

from __future__ import annotations

import itertools
import re
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
_MAX_BYTES: Final = 4096
_MAX_PASSWORD_LENGTH: Final = 72
"""What bcrypt reads of the password of basic-auth."""
_DEFAULT_LENGTH: Final = "40"
_BITS: Final = {"base64": 6, "base64url": 6, "base32": 5, "hex": 4, "raw": 8}
"""Bits in a character of each encoding."""
_GROUPS: Final = {"base64": 4, "base32": 8}
"""Characters to which padding fills an encoding; Keyturn writes base64url without it."""
_LENGTH: Final = re.compile(r"(?P<count>[0-9]{1,9})(?P<bytes>[bB]?)")
_KNOWN: Final = frozenset(
    {
        "autogenerate",
        "basic-auth-username",
        "encoding",
        "length",
        "private-key-field",
        "public-key-field",
        "type",
    }
    | {"regenerate", "autogenerate-generated-at", "secure", "length-generated"}
)


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
    _report_on_the_rest(annotations)
    document.report_unread()
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
            "metadata.annotations", "request no value that could be converted", "write a ManagedSecret"
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
        _tell(annotations, "type", "has a private key in the form of OpenSSH, not of PKCS #1")
        keys = {"privateKey": private, "publicKey": public}
        return [{"name": "ssh-key", "generate": {"sshKey": {"type": "rsa"}}, "keys": keys}]
    if kind == "basic-auth":
        username = annotations.text(f"{_GROUP}/basic-auth-username") or "admin"
        settings = {"username": username, "length": _password_length(annotations)}
        return [{"name": "login", "generate": {"basicAuth": settings}}]
    if kind != "string":
        return []
    names = [name.strip() for name in (annotations.text(f"{_GROUP}/autogenerate") or "").split(",")]
    generate = _recipe(annotations)
    return [{"name": name, "generate": generate} for name in names if name]


def _recipe(annotations: StrictReader) -> dict[str, Any]:
    """Return the generator of the same characters; a length is that of the text, with the suffix B that of bytes."""
    encoding = _encoding(annotations)
    count, is_in_bytes = _length(annotations)
    if not is_in_bytes:
        return {"bytes": {"length": _bytes_of_text(annotations, count, encoding), "encoding": encoding}}
    least = next(length for length in itertools.count() if _characters(length, encoding) >= _MIN_LENGTH)
    if count < least:
        _tell(
            annotations, "length", f"is {count}B; in {encoding} a generated secret has at least {least} bytes"
        )
    length = max(count, least)
    if encoding == "base64url" and length % 3:
        _tell(annotations, "encoding", "is base64url, which is written without padding")
    return {"bytes": {"length": length, "encoding": encoding}}


def _bytes_of_text(annotations: StrictReader, characters: int, encoding: str) -> int:
    """Return how many bytes give a text of that length."""
    if characters < _MIN_LENGTH:
        _tell(annotations, "length", f"is {characters}; a generated secret has at least {_MIN_LENGTH}")
        characters = _MIN_LENGTH
    bits = _BITS[encoding]
    lengths = itertools.count(characters)
    exact = next(length for length in lengths if _characters(length * bits // 8, encoding) == length)
    if exact != characters:
        annotations.report.lost(
            annotations.at(f"{_GROUP}/length"),
            f"is {characters}, at which the text is cut; whole bytes in {encoding} have {exact} characters",
            "write a generator whose length the users of the value accept",
        )
    return exact * bits // 8


def _characters(count: int, encoding: str) -> int:
    """Return how many characters bytes have in an encoding."""
    length, group = -(-count * 8 // _BITS[encoding]), _GROUPS.get(encoding, 1)
    return -(-length // group) * group


def _password_length(annotations: StrictReader) -> int:
    """Return the length of the password of basic-auth, which has characters of its own."""
    count, is_in_bytes = _length(annotations)
    encoding = _encoding(annotations)
    _tell(annotations, "encoding", "is left out: the password has letters, digits and -_.~")
    length = _characters(count, encoding) if is_in_bytes else count
    if length < _MIN_LENGTH:
        _tell(
            annotations,
            "length",
            f"gives {length} characters; a generated password has at least {_MIN_LENGTH}",
        )
    if length > _MAX_PASSWORD_LENGTH:
        annotations.report.lost(
            annotations.at(f"{_GROUP}/length"),
            f"gives {length} characters; a password that is hashed with bcrypt has at most {_MAX_PASSWORD_LENGTH}",
            "write a shorter one",
        )
    return min(max(length, _MIN_LENGTH), _MAX_PASSWORD_LENGTH)


def _encoding(annotations: StrictReader) -> str:
    written = annotations.text(f"{_GROUP}/encoding") or "base64"
    if written in _BITS:
        return written
    _tell(annotations, "encoding", f"is {written}, which is not known; base64 is written, as there")
    return "base64"


def _length(annotations: StrictReader) -> tuple[int, bool]:
    """Return a number, and whether it counts bytes before encoding."""
    written = annotations.text(f"{_GROUP}/length") or _DEFAULT_LENGTH
    found = _LENGTH.fullmatch(written)
    if found and int(found["count"]) <= _MAX_BYTES:
        return int(found["count"]), bool(found["bytes"])
    annotations.report.lost(
        annotations.at(f"{_GROUP}/length"),
        f"is no length of at most {_MAX_BYTES}; {_DEFAULT_LENGTH} is used",
        "write how many bytes there are to be in generate.bytes.length",
    )
    return int(_DEFAULT_LENGTH), False


def _tell(annotations: StrictReader, name: str, what: str) -> None:
    annotations.report.changed(annotations.at(f"{_GROUP}/{name}"), what)


def _report_on_the_rest(annotations: StrictReader) -> None:
    annotations.changed(
        f"{_GROUP}/regenerate", "requested new values once", "write rotation.trigger to request them here"
    )
    for name in annotations.names():
        group, _, setting = name.partition("/")
        if group == _GROUP and setting not in _KNOWN:
            annotations.lost(name, "is not known here and left out", "use Keyturn's field for it")


def _names(body: Body) -> set[str]:
    """Return the keys of a Secret, without its values."""
    return {str(name) for part in ("data", "stringData") for name in (body.get(part) or {})}


def _keys(item: dict[str, Any]) -> list[str]:
    if "basicAuth" in item["generate"]:
        return ["username", "password", "auth"]
    return list(item.get("keys", {}).values())

"""Converts a Secret with annotations of mittwald's secret generator to a ManagedSecret."""

import itertools
import re
from typing import Any, Final

from keyturn.api import API_VERSION

from .reading import Body, Reader, Report, opened

_GROUP: Final = "secret-generator.v1.mittwald.de"
_TYPE: Final = f"{_GROUP}/type"
_LENGTH: Final = f"{_GROUP}/length"
_ENCODING: Final = f"{_GROUP}/encoding"
_AUTOGENERATE: Final = f"{_GROUP}/autogenerate"
_WITHOUT_MEANING: Final = ("autogenerate", "autogenerate-generated-at", "length-generated", "secure")
_MIN_LENGTH: Final = 32
_MAX_BYTES: Final = 4096
_MAX_PASSWORD_LENGTH: Final = 72
"""What bcrypt reads of the password of basic-auth."""
_DEFAULT_LENGTH: Final = "40"
_BITS: Final = {"base64": 6, "base64url": 6, "base32": 5, "hex": 4, "raw": 8}
"""Bits in a character of each encoding."""
_GROUPS: Final = {"base64": 4, "base32": 8}
"""Characters to which padding fills an encoding; Keyturn writes base64url without it."""
_COUNT: Final = re.compile(r"(?P<count>[0-9]{1,9})(?P<bytes>[bB]?)")


def is_generated(body: Body) -> bool:
    """Whether annotations request values."""
    metadata = body.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and not {_AUTOGENERATE, _TYPE}.isdisjoint(annotations)


def secret(body: Body, report: Report) -> list[dict[str, Any]]:
    """Convert an annotated Secret; its values are not read, and are adopted in the cluster."""
    document = opened(body, report)
    document.ignore("data", "stringData", "type", "immutable")
    annotations = document.part("metadata").part("annotations")
    items = _items(annotations)
    annotations.ignore(*(f"{_GROUP}/{name}" for name in _WITHOUT_MEANING))
    metadata = document.metadata()
    document.report_unread()
    keys = {str(name) for part in ("data", "stringData") for name in (body.get(part) or {})}
    others = sorted(keys.difference(*map(_keys, items)))
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
    return [{"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata, "spec": spec}]


def _items(annotations: Reader) -> list[dict[str, Any]]:
    kind = annotations.text(_TYPE) or "string"
    if kind == "ssh-keypair":
        private = annotations.text(f"{_GROUP}/private-key-field") or "ssh-privatekey"
        public = annotations.text(f"{_GROUP}/public-key-field") or "ssh-publickey"
        annotations.ignore(_LENGTH, _ENCODING)
        what = "has an RSA key of 3072 bits, in the form of OpenSSH instead of PKCS #1"
        annotations.changed(_TYPE, what)
        keys = {"privateKey": private, "publicKey": public}
        return [{"name": "ssh-key", "generate": {"sshKey": {"type": "rsa"}}, "keys": keys}]
    if kind == "basic-auth":
        username = annotations.text(f"{_GROUP}/basic-auth-username") or "admin"
        settings = {"username": username, "length": _password_length(annotations)}
        return [{"name": "login", "generate": {"basicAuth": settings}}]
    names = [name.strip() for name in (annotations.text(_AUTOGENERATE) or "").split(",")]
    generate = {"bytes": _bytes(annotations)} if kind == "string" else {}
    return [{"name": name, "generate": generate} for name in names if name and generate]


def _keys(item: dict[str, Any]) -> set[str]:
    """Return the keys of the Secret that an item writes."""
    if "basicAuth" in item["generate"]:
        return {"username", "password", "auth"}
    return set(item.get("keys", {"": item["name"]}).values())


def _bytes(annotations: Reader) -> dict[str, Any]:
    """Return a generator of the same characters; a length is that of the text, with the suffix B that of bytes."""
    encoding = _encoding(annotations)
    count, is_in_bytes = _length(annotations)
    at, bits = annotations.at(_LENGTH), _BITS[encoding]
    if is_in_bytes:
        least = next(length for length in itertools.count() if _characters(length, encoding) >= _MIN_LENGTH)
        if count < least:
            annotations.report.changed(at, f"is {count}B; in {encoding} a secret has at least {least} bytes")
        count = max(count, least)
        if encoding == "base64url" and count % 3:
            annotations.changed(_ENCODING, "is base64url, which is written without padding")
        return {"length": count, "encoding": encoding}
    if count < _MIN_LENGTH:
        annotations.report.changed(at, f"is {count}; a generated secret has at least {_MIN_LENGTH}")
    wanted = max(count, _MIN_LENGTH)
    lengths = itertools.count(wanted)
    exact = next(length for length in lengths if _characters(length * bits // 8, encoding) == length)
    if exact != wanted:
        what = f"is {count}, at which the text is cut; whole bytes in {encoding} have {exact} characters"
        annotations.report.lost(at, what, "write a generator whose length the users of the value accept")
    return {"length": exact * bits // 8, "encoding": encoding}


def _characters(count: int, encoding: str) -> int:
    """Return how many characters bytes have in an encoding."""
    length, group = -(-count * 8 // _BITS[encoding]), _GROUPS.get(encoding, 1)
    return -(-length // group) * group


def _password_length(annotations: Reader) -> int:
    """Return the length of the password of basic-auth, which has characters of its own."""
    count, is_in_bytes = _length(annotations)
    encoding = _encoding(annotations)
    length = _characters(count, encoding) if is_in_bytes else count
    what = "is left out: the password has letters, digits and -_.~"
    annotations.changed(_ENCODING, what)
    if not _MIN_LENGTH <= length <= _MAX_PASSWORD_LENGTH:
        report = annotations.report.lost if length > _MIN_LENGTH else annotations.report.changed
        what = f"gives {length} characters; such a password has {_MIN_LENGTH} to {_MAX_PASSWORD_LENGTH}"
        report(annotations.at(_LENGTH), what, "write another length")
    return min(max(length, _MIN_LENGTH), _MAX_PASSWORD_LENGTH)


def _encoding(annotations: Reader) -> str:
    written = annotations.text(_ENCODING) or "base64"
    if written not in _BITS:
        what = f"is {written}, which is not known; base64 is written, as there"
        annotations.changed(_ENCODING, what)
    return written if written in _BITS else "base64"


def _length(annotations: Reader) -> tuple[int, bool]:
    """Return a number, and whether it counts bytes before encoding."""
    found = _COUNT.fullmatch(annotations.text(_LENGTH) or _DEFAULT_LENGTH)
    if found and int(found["count"]) <= _MAX_BYTES:
        return int(found["count"]), bool(found["bytes"])
    what = f"is no length of at most {_MAX_BYTES}; {_DEFAULT_LENGTH} is used"
    annotations.lost(_LENGTH, what, "write the number of bytes in generate.bytes.length")
    return int(_DEFAULT_LENGTH), False

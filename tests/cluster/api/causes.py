"""What an API server answers to an object that it refuses, in the words of the newest release."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes import client

Body = dict[str, Any]

# Follows another cause and says nothing of its own.
_UNCHECKED = "some validation rules were not checked"
# Of a rule, Kubernetes 1.34 shows the type of the value where newer releases show the value, or nothing of an object.
_TYPE_ALONE = re.compile(
    r'Invalid value: "(object|array|string|integer|number|boolean)": (?!.*must be of type)'
)
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")
_LOW = re.compile(r"\\u00([01]\w|7f)")


def causes(refused: client.ApiException, sent: Body) -> list[str]:
    """Return each cause after its field; `sent` is the object that was refused."""
    status = json.loads(refused.body or "{}")
    if "causes" not in status.get("details", {}):
        return [status["message"]]
    found = [(cause["field"], cause["message"]) for cause in status["details"]["causes"]]
    return [
        f"{field}: {in_newest_words(field, message, sent)}"
        for field, message in found
        if _UNCHECKED not in message
    ]


def in_newest_words(field: str, message: str, sent: Body) -> str:
    found = _TYPE_ALONE.match(message)
    if found is None:
        return message
    rest = message[found.end() :]
    if found[1] in {"object", "array"}:
        return f"Invalid value: {rest}"
    return f"Invalid value: {_as_go_shows(_at(field, sent))}: {rest}"


def _at(field: str, sent: Any) -> Any:
    for name, index in _STEP.findall(field):
        sent = sent[int(index) if isinstance(sent, list) else name or index]
    return sent


def _as_go_shows(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return _LOW.sub(r"\\x\1", "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in shown))

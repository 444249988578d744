"""Webhook provider."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from keyturn.offline.convert.strict_reader import StrictReader

    from .store import Store

__all__ = ["webhook"]

_KEY: Final = re.compile(r"\{\{-?\s*\.remoteRef\.key\s*(\|\s*urlquery\s*)?-?\}\}")
_SECRET: Final = re.compile(r"\{\{-?\s*\.(?P<secret>[A-Za-z_]\w*)\.(?P<key>[A-Za-z_][\w-]*)\s*-?\}\}")


def webhook(part: StrictReader, store: Store) -> dict[str, Any]:
    secret, names = _secret(part, store)
    settings: dict[str, Any] = {"url": _text(part, "url", names)}
    if (method := (part.text("method") or "GET").upper()) != "GET":
        settings["method"] = "POST"
    if method not in {"GET", "POST"}:
        part.report.lost(
            part.at("method"), f"is {method}; Keyturn sends GET or POST", "let a proxy translate the request"
        )
    headers = part.part("headers")
    if written := {name: _text(headers, name, names) for name in headers.names()}:
        settings["headers"] = written
    if "body" in part:
        settings["body"] = _text(part, "body", names)
    if secret:
        settings["secretRef"] = {"name": secret}
    settings |= store.trust(part)
    if path := part.part("result").text("jsonPath"):
        settings["result"] = {
            "jsonPath": _text(part.part("result"), "jsonPath", names) if "{{" in path else path
        }
    part.changed("timeout", "is unnecessary: every request has a timeout")
    part.lost(
        "auth",
        "logs in by NTLM; Keyturn sends headers only",
        "log in by a header, or let a proxy log in by NTLM",
    )
    return {"webhook": settings}


def _secret(part: StrictReader, store: Store) -> tuple[str | None, dict[str, str]]:
    """Return the Secret that templates read, and its names in them."""
    names: dict[str, str] = {}
    for entry in part.parts("secrets"):
        name, ref = entry.text("name") or "", entry.part("secretRef")
        store.report_namespace(ref)
        ref.ignore("key")
        names[name] = ref.text("name") or ""
    secrets = list(dict.fromkeys(names.values()))
    if len(secrets) > 1:
        part.report.lost(
            part.at("secrets"), "are several; the first is taken", "put all keys into one Secret"
        )
    return (secrets[0] if secrets else None), names


def _text(part: StrictReader, name: str, names: dict[str, str]) -> str:
    """Translate a template, whose data are key and Secret."""
    written = part.text(name) or ""
    text = _KEY.sub("{{ key }}", written)
    text = _SECRET.sub(
        lambda found: f"{{{{ {found['key']} }}}}" if found["secret"] in names else found[0], text
    )
    if re.search(r"\{\{-?\s*[^}]*[.(|]", text):
        part.report.lost(
            part.at(name),
            "has a template that is not understood here",
            "write it as docs/stores/webhook.md describes",
        )
    return text

"""Base64 for URLs without padding (RFC 4648, section 5), as JSON Web Tokens and Keys have it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def decode(written: bytes | str) -> bytes:
    """Decode, with or without padding.

    Raises:
        ValueError: It is no such text.
    """
    text = written.encode("ascii") if isinstance(written, str) else written
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))

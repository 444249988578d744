"""Errors of databases, built from codes and sentences of ours, never from a server's text; and pauses after them.

A server's message can repeat a statement, and with it a value, and its language follows the server. So an error has a
code of one word, which becomes the reason of a condition, and a sentence that says what to do.
"""
# ruff: noqa: N818  # each is named after what happened

from __future__ import annotations

import hmac
import secrets
from collections.abc import Hashable
from typing import Final, NamedTuple

from keyturn.runtime.clock import loop_time


class DatabaseError(Exception):
    """A server, or the engine on its behalf, did not execute an operation."""

    def __init__(self, code: str, message: str) -> None:
        """`code` is one word, `message` a sentence of ours that says what to do."""
        super().__init__(code, message)
        self.code = code
        self.message = message


class Fenced(DatabaseError):
    """The state Secret has changed since the step was decided: the server was not changed, decide again."""

    def __init__(self, message: str = "the record of the account is another one now") -> None:
        super().__init__("Fenced", message)


class Busy(DatabaseError):
    """Another process holds the lock of the account: nothing was changed, retry within seconds."""

    def __init__(self, message: str = "another process changes this account; the change is retried") -> None:
        super().__init__("Busy", message)


class Overloaded(DatabaseError):
    """This process had no processor time for a computation: the server has done nothing wrong, retry."""


class RefusedByPolicy(DatabaseError):
    """The server rejects the value or its verifier: another value, or another setting of the server, is needed."""


class Forbidden(DatabaseError):
    """A guard refuses the account, such as a superuser or the account of another ManagedSecret; manual action."""


class Missing(DatabaseError):
    """A role of the account does not exist, and this operation does not create it."""


class ReadOnly(DatabaseError):
    """The server answers and accepts no change: it is a standby, or its disk is full; retried."""


class Unauthorized(DatabaseError):
    """The server refuses the admin's credential."""


class Denied(DatabaseError):
    """The admin lacks a right; `statement` grants it, and is part of `message`."""

    def __init__(self, code: str, message: str, statement: str = "") -> None:
        super().__init__(code, message)
        self.statement = statement


class Unreachable(DatabaseError):
    """No usable answer: network, TLS, timeout, or a server that starts.

    A change may have been done: assert the recorded set again.
    """


# What a server is not asked again for a minute: refused credentials of administrators, and silent addresses
#
# Every step of every account needs the administrator, whom so many failed logins could lock. A network that drops
# packets makes each attempt last until its time limit, and a step at a server has several logins.


_PAUSE: Final = 60.0
"""Seconds between two logins with a credential that was refused."""
_KEY: Final = secrets.token_bytes(32)
"""Of this process, so that a digest is of no use elsewhere."""


class _Refusal(NamedTuple):
    """What the server said, without the frames of an error, which hold values."""

    code: str
    message: str
    again: float
    """When the next login may begin."""


class RefusedAdmins:
    """Credentials that one server refused, each by its digest."""

    def __init__(self) -> None:
        self._refused: dict[bytes, _Refusal] = {}

    def check(self, credential: bytes) -> None:
        """Raise if the login of the administrator must not begin; after a pause one begins.

        Raises:
            Unauthorized: The server refused it in the last minute, or is being asked again.
        """
        known, now = self._refused.get(credential), loop_time()
        if known is None:
            return
        if now < known.again:
            raise Unauthorized(known.code, known.message)
        self._refused[credential] = known._replace(again=now + _PAUSE)

    def note(self, credential: bytes, error: Unauthorized) -> None:
        """Record that the server refused it, and drop those that were not tried again."""
        now = loop_time()
        self._refused = {one: kept for one, kept in self._refused.items() if now < kept.again}
        self._refused[credential] = _Refusal(error.code, error.message, now + _PAUSE)

    def forget(self, credential: bytes) -> None:
        """Record that the server accepted it."""
        self._refused.pop(credential, None)


def digest(*parts: bytes) -> bytes:
    """Return the digest of all that a server judges a credential by; only the last part may have a zero byte."""
    return hmac.digest(_KEY, b"\0".join(parts), "sha256")


class SilentFamilies:
    """Families of addresses that did not answer in time, while another family of the same host did."""

    def __init__(self) -> None:
        self._until: dict[frozenset[Hashable], float] = {}

    def __contains__(self, family: frozenset[Hashable]) -> bool:
        return loop_time() < self._until.get(family, 0.0)

    def note(self, family: frozenset[Hashable]) -> None:
        """Record that none of these addresses has answered, and drop what is out of date."""
        now = loop_time()
        self._until = {one: until for one, until in self._until.items() if now < until}
        self._until[family] = now + _PAUSE

"""Errors of databases, built from codes and sentences of ours, never from a server's text.

A server's message can repeat a statement, and with it a value, and its language follows the server. So an error has a
code of one word, which becomes the reason of a condition, and a sentence that says what to do.
"""
# ruff: noqa: N818  # each is named after what happened

from __future__ import annotations


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

"""The name server of a real node: which names it knows, and how it answers each."""

from __future__ import annotations

import socket
import struct

import pytest

from sandbox.node import names

_ADDRESS, _ADDRESS6 = 1, 28
_SERVICES = {("db", "shop"): "10.96.0.7", ("headless", "shop"): None}


def query(name: str, kind: int = _ADDRESS) -> bytes:
    labels = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def address_of(name: str, namespace: str) -> str | None:
    if name == "broken":
        raise OSError
    if (name, namespace) not in _SERVICES:
        raise LookupError(name)
    return _SERVICES[name, namespace]


def asked(name: str, kind: int = _ADDRESS) -> tuple[int, list[str]]:
    """Return the code of the answer to a query, and the addresses in it."""
    sent = query(name, kind)
    told = names.answer(sent, address_of)
    number, flags, questions, records, *_ = struct.unpack_from("!HHHHHH", told)
    assert (number, flags & 0xFFF0, questions) == (4711, 0x8500, 1)
    assert told[12 : len(sent)] == sent[12:]
    rest = told[len(sent) :]
    assert len(rest) == 16 * records
    return flags & 0xF, [socket.inet_ntoa(rest[at + 12 : at + 16]) for at in range(0, len(rest), 16)]


@pytest.mark.parametrize(
    ("name", "code", "addresses"),
    [
        ("db.shop.svc.cluster.local", 0, ["10.96.0.7"]),
        ("DB.Shop.svc.cluster.local", 0, ["10.96.0.7"]),
        ("headless.shop.svc.cluster.local", 0, []),
        ("absent.shop.svc.cluster.local", 3, []),
        ("db.shop.svc.svc.cluster.local", 3, []),
        ("db.shop.svc.shop.svc.cluster.local", 3, []),
        ("x%2fy.shop.svc.cluster.local", 3, []),
        ("broken.shop.svc.cluster.local", 2, []),
        ("db", 3, []),
        ("db.shop.svc", 3, []),
        ("vault.example.com", 5, []),
    ],
)
def test_a_name_has_the_address_of_its_service(name: str, code: int, addresses: list[str]) -> None:
    assert asked(name) == (code, addresses)


def test_a_service_has_no_address_of_version_6() -> None:
    assert asked("db.shop.svc.cluster.local", _ADDRESS6) == (0, [])


@pytest.mark.parametrize("size", [0, 11, 12, 20, 40])
def test_what_is_no_whole_query_is_not_answered(size: int) -> None:
    with pytest.raises(ValueError, match="no query"):
        names.answer(query("db.shop.svc.cluster.local")[:size], address_of)


def test_an_answer_is_not_answered() -> None:
    with pytest.raises(ValueError, match="no query with one question"):
        names.answer(names.answer(query("db.shop.svc.cluster.local"), address_of), address_of)

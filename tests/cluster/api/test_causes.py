"""Refusals of Kubernetes 1.34 are compared with what newer releases say of the same object."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.api.causes import in_newest_words

_SENT: dict[str, Any] = {
    "spec": {
        "every": "0d",
        "bits": 12,
        "name": "schlüssel\x7f\u202e",
        "lists": [{"names": ["a\x1b\n"]}],
        "labels": {"a.b/c": "*"},
    }
}


@pytest.mark.parametrize(
    ("field", "message", "newest"),
    [
        ("spec", 'Invalid value: "object": keep one', "Invalid value: keep one"),
        ("spec.lists", 'Invalid value: "array": write two', "Invalid value: write two"),
        ("spec.every", 'Invalid value: "string": write 1d', 'Invalid value: "0d": write 1d'),
        ("spec.bits", 'Invalid value: "integer": write 2048', "Invalid value: 12: write 2048"),
        (
            "spec.lists[0].names[0]",
            'Invalid value: "string": in one line',
            r'Invalid value: "a\x1b\n": in one line',
        ),
        ("spec.name", 'Invalid value: "string": no', r'Invalid value: "schlüssel\x7f\u202e": no'),
        ("spec.labels[a.b/c]", 'Invalid value: "string": no', 'Invalid value: "*": no'),
        ("spec.every", 'Invalid value: "0d": write 1d', 'Invalid value: "0d": write 1d'),
    ],
)
def test_the_value_stands_where_the_type_stood(field: str, message: str, newest: str) -> None:
    assert in_newest_words(field, message, _SENT) == newest


def test_a_wrong_type_is_said_by_every_release() -> None:
    message = 'Invalid value: "string": spec.bits in body must be of type integer: "string"'

    assert in_newest_words("spec.bits", message, _SENT) == message

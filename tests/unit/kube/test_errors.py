from __future__ import annotations

import pytest

from keyturn.kube import errors


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (404, "Unknown", errors.Unavailable),
        (405, "MethodNotAllowed", errors.ApiError),
        (408, "Timeout", errors.Unavailable),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (415, "UnsupportedMediaType", errors.ApiError),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Throttled),
        (500, "InternalError", errors.Unavailable),
        (503, "Unknown", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
def test_a_status_and_its_reason_have_one_meaning(
    status: int, reason: str, meaning: type[errors.ApiError]
) -> None:
    assert type(errors.of_answer("get", "/api/v1/pods", status, reason)) is meaning


def test_an_error_says_verb_path_status_and_reason() -> None:
    error = errors.of_answer("update", "/api/v1/namespaces/shop/secrets/a", 409, "Conflict")
    assert str(error) == "update /api/v1/namespaces/shop/secrets/a: 409 Conflict"


def test_an_error_without_an_answer_says_no_status() -> None:
    assert str(errors.Unavailable("get", "/api/v1/pods", 0, "Timeout")) == "get /api/v1/pods: Timeout"

"""What a report is evidence of, in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyturn.checklist.scope import Scope

MADE = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("scope", "subjects"),
    [
        (Scope(MADE, "https://api.test", "shop"), "https://api.test, namespace shop"),
        (Scope(MADE, "https://api.test"), "https://api.test, all namespaces"),
        (Scope(MADE, repository="/shop"), "repository /shop"),
        (
            Scope(MADE, "https://api.test", "shop", "/shop"),
            "https://api.test, namespace shop, repository /shop",
        ),
    ],
    ids=["a namespace", "all namespaces", "a repository", "both"],
)
def test_a_scope_names_its_time_its_version_and_its_subjects(scope: Scope, subjects: str) -> None:
    assert str(scope) == f"2026-11-27 12:00:00 UTC, keyturn {scope.version}: {subjects}"

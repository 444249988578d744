"""Who read what, as the document about an emergency tells it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from keyturn.api.emergency import EmergencyRotation
from keyturn.controllers.emergency.document import document
from keyturn.core.emergency.readers import Reader, Readership, ReaderStatus
from tests.unit.endpoints.audit.audit_events import ALICE, API, START

READER = Reader(
    API,
    "serviceaccount",
    frozenset({"watch", "get"}),
    START,
    START + timedelta(hours=1),
    3,
    "secret",
    ReaderStatus.KNOWN,
)


def written(*readers: tuple[str, Reader], forgotten: int = 0, refused: tuple[Reader, ...] = ()) -> list[str]:
    """Return the lines of the section about readers."""
    emergency = EmergencyRotation.model_validate(
        {
            "metadata": {"name": "inc", "namespace": "shop", "creationTimestamp": START},
            "spec": {"reason": "x", "selector": {}},
        }
    )
    whole = document(emergency, "kubectl", [], {}, Readership(readers, forgotten, refused, START))
    section = re.search(r"## Who could read them.*?(?=\n## )", whole, re.DOTALL)
    assert section
    return section[0].splitlines()


def rows(*readers: tuple[str, Reader]) -> list[str]:
    return [line for line in written(*readers) if line.startswith("| ")][1:]


def test_a_reader_is_reported_with_what_and_how_and_whether_it_is_known() -> None:
    (row,) = rows(("auth", READER))
    assert row.replace("\\", "") == (
        "| system:serviceaccount:shop:api | serviceaccount | `auth` | get, watch"
        " | 2026-11-01 12:00:00 UTC | 2026-11-01 13:00:00 UTC | 3 | known |"
    )


def test_who_was_never_there_before_is_new() -> None:
    assert rows(("auth", replace(READER, status=ReaderStatus.NEW)))[0].endswith("| new |")


def test_of_whom_nothing_was_known_it_says_since_when_there_is_a_record() -> None:
    unknown = replace(READER, status=ReaderStatus.UNKNOWN)

    assert rows(("auth", unknown))[0].endswith("| unknown, recorded since 2026-11-01 |")


def test_who_lists_all_stands_there_once_however_many_secrets_there_are() -> None:
    lister = replace(READER, reach="namespace")
    assert len(rows(("auth", lister), ("mail", lister), ("auth", READER), ("mail", READER))) == 3


def test_a_name_is_no_markup() -> None:
    (row,) = rows(("auth", replace(READER, subject="<b>[x](https://evil.test)|")))
    assert "<b>" not in row
    assert "[x](" not in row
    assert row.count(" | ") == 7


def test_many_are_cut_and_it_is_said() -> None:
    readers = [("auth", replace(READER, subject=f"{number}")) for number in range(600)]
    assert len(rows(*readers)) == 500
    assert "100 more are not listed here; the audit log has them." in written(*readers)


def test_readers_that_were_forgotten_are_reported() -> None:
    assert "**This is not all.** About 7 more are in the audit log only" in "\n".join(
        written(("auth", READER), forgotten=7)
    )
    assert "not all" not in "\n".join(written(("auth", READER)))


def test_who_tried_and_was_refused_is_distinguished() -> None:
    section = "\n".join(written(refused=(replace(READER, subject="mallory|"),)))

    assert "0 readers other than Keyturn" in section
    assert "1 tried and were refused" in section
    assert "| mallory\\| | serviceaccount | get, watch | 2026-11-01 12:00:00 UTC |" in section
    assert "refused" not in "\n".join(written(("auth", READER)))


def test_an_absent_user_is_reported_as_absent_and_not_as_unknown() -> None:
    lines = "\n".join(written())
    assert "0 readers other than Keyturn" in lines
    assert "no access report" not in lines


def test_without_audit_events_it_says_where_to_look() -> None:
    emergency = EmergencyRotation.model_validate(
        {
            "metadata": {"name": "inc", "namespace": "shop", "creationTimestamp": START},
            "spec": {"reason": ALICE, "selector": {}},
        }
    )
    assert "Keyturn has no access report" in document(emergency, "kubectl", [], {}, None)

"""The incident document: complete, bounded, and never saying what somebody wrote into a name or a reason."""

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import markdown  # type: ignore[import-untyped]  # ships no stubs
import pytest

from keyturn.api.emergency import (
    AffectedLogin,
    AffectedSecret,
    AffectedState,
    EmergencyRotation,
    TimelineEntry,
)
from keyturn.controllers.emergency.document import LARGEST, document, text
from keyturn.core.emergency.progress import Affected
from keyturn.core.observation.emergency import Reader, Readership, ReaderStatus
from keyturn.core.rotation.store_steps import Unpushed
from tests.unit.endpoints.audit.audit_events import ALICE, API, START

STARTED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[all is well](https://evil.test)",
    "![x](https://evil.test/pixel.png)",
    "<https://evil.test>",
    "https://evil.test",
    "www.evil.test WWW.evil.test",
    "a | b | c |",
    "`code` **bold** _it_ ~~gone~~",
    "# heading",
    "* list",
    "&lt;b&gt; &#60;i&#62;",
    "\\[x](y)",
    "right\u202eleft\u200b",
    "$x$ ^1 :smile:",
]


def emergency(
    reason: str = "a laptop was stolen", status: dict[str, Any] | None = None, **spec: Any
) -> EmergencyRotation:
    body = {
        "metadata": {"name": "inc-1", "namespace": "shop", "creationTimestamp": STARTED},
        "spec": {"reason": reason, "selector": {}, **spec},
        "status": status or {},
    }
    return EmergencyRotation.model_validate(body)


def row(name: str, message: str | None = None) -> AffectedSecret:
    return AffectedSecret(
        name=name, state=AffectedState.ROTATED, revision=2, rotated_at=STARTED, message=message
    )


def written(reason: str = "a laptop was stolen", by: str = "kubectl", message: str = "", **spec: Any) -> str:
    known = {"db": Affected(AffectedState.ROTATED, 2, STARTED, workloads=("Deployment/api",))}
    return document(emergency(reason, **spec), by, [row("db", message)], known, None)


def shown(source: str) -> str:
    """Return what a browser would be given."""
    return str(markdown.markdown(source, extensions=["tables", "pymdownx.magiclink"]))


def read(source: str) -> str:
    """Return what people would see."""
    return html.unescape(re.sub(r"<[^>]*>", "", shown(source)))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_words_of_others_become_no_markup(hostile: str) -> None:
    plain, attacked = (
        shown(written()),
        shown(written(hostile, hostile, hostile, contact=hostile, incident=hostile)),
    )

    tags = [re.findall(r"<(/?\w+)", one) for one in (plain, attacked)]
    assert tags[0] == tags[1]
    assert "\u202e" not in attacked


@pytest.mark.parametrize("hostile", HOSTILE)
def test_words_of_others_are_shown_as_they_were_written(hostile: str) -> None:
    visible = hostile.replace("\u202e", "").replace("\u200b", "")

    assert visible in read(written(hostile))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_contacts_of_the_organisation_are_shown(hostile: str) -> None:
    status = {"contacts": {"Security Team": "security@shop.test", "On-Call": hostile}}
    source = document(emergency(status=status), "kubectl", [row("db")], {}, None)

    assert "| Security Team | security@shop.test |" in source
    assert hostile.replace("\u202e", "").replace("\u200b", "") in read(source)


def test_plain_words_stay_as_they_are() -> None:
    assert text("a laptop was stolen, on 24.11. (?)") == "a laptop was stolen, on 24.11. \\(?\\)"
    assert text("Ключ утёк: 🔥") == "Ключ утёк: 🔥"


def test_it_reports_who_uses_what() -> None:
    known = {
        "db": Affected(AffectedState.ROTATED, 2, STARTED, workloads=("Deployment/api", "Deployment/web")),
        "mail": Affected(AffectedState.ROTATED, 2, STARTED, workloads=("Deployment/api",)),
    }

    source = document(emergency(), "kubectl", [row("db"), row("mail")], known, None)

    assert "| `Deployment/api` | `db`, `mail` |" in source
    assert "| `Deployment/web` | `db` |" in source
    assert "Pods of the 2 workloads above" in source


def services(known: dict[str, Affected | None]) -> str:
    """Return the section about services."""
    source = document(emergency(), "kubectl", [row("db")], known, None)
    return source.split("## Services")[1].split("## ")[0]


def test_without_workloads_it_claims_nothing_about_pods_that_were_not_read() -> None:
    source = services({"db": Affected(AffectedState.ROTATED), "mail": None})

    assert "`db`, `mail`" in source


def test_it_names_pods_that_keyturn_does_not_restart() -> None:
    source = services(
        {
            "db": Affected(AffectedState.ROTATED, others=("Pod/bare runs",)),
            "mail": Affected(AffectedState.ROTATED),
        }
    )

    assert "| `db` | Pod/bare runs |" in source
    assert "`mail`" in source


def test_it_says_that_no_other_pod_holds_exposed_values_only_after_a_read() -> None:
    checked = services({"db": Affected(AffectedState.ROLLED_OUT, others=())})
    unchecked = services({"db": Affected(AffectedState.ROLLED_OUT)})

    assert "`db`" not in checked
    assert "`db`" in unchecked


def test_it_reports_which_deadline_was_missed() -> None:
    missed = {
        "time": STARTED + timedelta(hours=1),
        "reason": "DeadlineMissed",
        "what": "in any words",
        "who": "keyturn",
    }
    status = {"rotatedAt": STARTED, "servicesUpdatedAt": STARTED + timedelta(hours=2), "timeline": [missed]}

    source = document(emergency(status=status), "kubectl", [row("db")], {}, None)

    assert (
        "| Rotate the secrets (at once) | 2026-11-24 12:01:00 UTC | 2026-11-24 12:00:00 UTC | yes |" in source
    )
    assert (
        "| Update all services (1 hour) | 2026-11-24 13:00:00 UTC | 2026-11-24 14:00:00 UTC | no |" in source
    )
    assert "| Document the incident (48 hours) | 2026-11-26 12:00:00 UTC | - | - |" in source


def test_it_lists_what_is_open() -> None:
    known = {
        "db": Affected(
            AffectedState.ROTATED,
            2,
            STARTED,
            pulled=("api-key (vault)",),
            literals=("user",),
            found=("smtp",),
            open_points=("Deployment/api is paused", "Pod/bare runs with revision 1"),
        )
    }

    source = document(emergency(), "kubectl", [row("db", "Deployment/api is paused")], known, None)

    assert "- [ ] Audit access logs (24 hours), due 2026-11-25 12:00:00 UTC" in source
    assert "- [ ] `db` is Rotated: Deployment/api is paused" in source
    assert "- [ ] `db` is Rotated: Pod/bare runs with revision 1" in source
    assert "- [ ] Rotate the values that `db` reads from a store" in source
    assert "- [ ] Replace what `db` keeps of the Secret that it adopted" in source
    assert "| `db` | `api-key (vault)` | `user` | `smtp` |" in source


def test_it_names_the_stores_that_may_hold_what_is_exposed() -> None:
    place = "key 'shop/db|x' of SecretStore 'vault'"
    known = {"db": Affected(AffectedState.STALLED, 2, unpushed=(Unpushed(place, f"{place} refuses"),))}

    source = document(emergency(), "kubectl", [row("db")], known, None)

    said = place.replace("|", "\\|")
    assert f"| `db` | {said} | {said} refuses |" in source
    assert f"- [ ] Make sure that {said}, where `db` is pushed to, has no exposed value" in source


def test_without_pushes_it_speaks_of_no_stores() -> None:
    assert "Stores that may have exposed values" not in written()


def test_it_has_the_proof_that_a_database_refuses_each_exposed_login() -> None:
    logins = [
        AffectedLogin(login="app_a", revision=1, refused_at=STARTED + timedelta(seconds=5)),
        AffectedLogin(login="app_b", revision=2, message="10.0.0.7:6432 still accepts its password"),
        AffectedLogin(login="app_b", refused_at=STARTED),
    ]
    found = row("db").model_copy(update={"logins": logins})

    source = document(emergency(), "kubectl", [found, row("mail")], {}, None)

    assert "| `db` | app\\_a | 1 | proven refused at 2026-11-24 12:00:05 UTC |" in source
    why = "10.0.0.7:6432 still accepts its password"
    assert f"| `db` | app\\_b | 2 | may still be accepted: {why} |" in source
    assert "| `db` | app\\_b | unknown | seen closed at the server at 2026-11-24 12:00:00 UTC |" in source
    assert source.count("The database may still accept") == 1
    assert f"- [ ] The database may still accept app\\_b of `db`: {why}" in source


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_of_logins_become_no_markup(hostile: str) -> None:
    found = row("db").model_copy(update={"logins": [AffectedLogin(login=hostile, message=hostile)]})

    assert hostile.replace("\u202e", "").replace("\u200b", "") in read(
        document(emergency(), "", [found], {}, None)
    )


def test_without_databases_it_speaks_of_no_logins() -> None:
    assert "Database logins" not in written()


def test_what_happened_often_is_reported_once_with_its_count() -> None:
    entry = TimelineEntry(
        time=STARTED,
        until=STARTED + timedelta(hours=1),
        count=7,
        reason="SecretFailed",
        what="of db",
        who="keyturn",
    )
    status = {"timeline": [entry.model_dump(mode="json", by_alias=True)]}

    source = document(emergency(status=status), "kubectl", [row("db")], {}, None)

    assert "| 2026-11-24 12:00:00 UTC to 2026-11-24 13:00:00 UTC | of db (7 in all) | keyturn |" in source


def test_a_document_that_no_config_map_would_hold_is_cut_at_a_line() -> None:
    rows = [row(f"s{number}", "é" * 1024) for number in range(1000)]

    source = document(emergency(), "kubectl", rows, {}, None)

    assert len(source.encode()) < LARGEST + 200
    assert source.endswith("The status has the rest.)\n")
    assert source.splitlines()[-2].endswith(" |")


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


def access_lines(
    *readers: tuple[str, Reader], forgotten: int = 0, refused: tuple[Reader, ...] = ()
) -> list[str]:
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
    return [line for line in access_lines(*readers) if line.startswith("| ")][1:]


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
    assert "100 more are not listed here; the audit log has them." in access_lines(*readers)


def test_readers_that_were_forgotten_are_reported() -> None:
    assert "**This is not all.** About 7 more are in the audit log only" in "\n".join(
        access_lines(("auth", READER), forgotten=7)
    )
    assert "not all" not in "\n".join(access_lines(("auth", READER)))


def test_who_tried_and_was_refused_is_distinguished() -> None:
    section = "\n".join(access_lines(refused=(replace(READER, subject="mallory|"),)))

    assert "0 readers other than Keyturn" in section
    assert "1 tried and were refused" in section
    assert "| mallory\\| | serviceaccount | get, watch | 2026-11-01 12:00:00 UTC |" in section
    assert "refused" not in "\n".join(access_lines(("auth", READER)))


def test_an_absent_user_is_reported_as_absent_and_not_as_unknown() -> None:
    lines = "\n".join(access_lines())
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

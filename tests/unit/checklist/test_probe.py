"""A read of a managed Secret proves that access is logged, where a real API server tells the operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from keyturn.api.managedsecret import ManagedSecret
from keyturn.checklist.facts import Declared, Facts
from keyturn.checklist.probe import Probe
from keyturn.core.labels import ACCESS_TYPE
from keyturn.endpoints.audit import persistence as record
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope, Entry
from keyturn.endpoints.audit.baseline import Habits
from keyturn.endpoints.audit.event import SubjectKind
from keyturn.kube import errors
from tests.cluster.endpoints.test_audit_webhook import audited, space  # noqa: F401  # an API server with its audit webhook
from tests.unit.endpoints.audit.audit_events import finish

# What an older record says

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Server:
    """An API server with a record in which one has read auth so long ago, or nobody has."""

    def __init__(self, ago: timedelta | None, who: str = "me", type_: str = ACCESS_TYPE) -> None:
        self.reads: list[str] = []
        journal = AccessLog()
        if ago is not None:
            entry = Entry(SubjectKind.USER, frozenset({"get"}), NOW - ago, NOW - ago, kept=1)
            journal.merge(AccessScope("shop", "auth"), who, entry)
        habits = Habits(b"k" * 32, timedelta(0), 0)
        sheet = record.Sheet()
        finish(sheet.copy(journal))
        body = record.body_of("keyturn-system", None, habits, sheet, record.Sheet())
        self.record = body | {"type": type_}

    async def get(self, path: str, **_: Any) -> Any:
        self.reads.append(path.rpartition("/")[2])
        return self.record

    async def request(self, *_: Any) -> Any:
        return {"status": {"userInfo": {"username": "me"}}}


async def probed(server: object, *, secret: str | None = "auth") -> list[tuple[str, str]] | None:  # noqa: S107
    body = {
        "metadata": {"name": "auth", "namespace": "shop"},
        "spec": {"data": [{"name": "token", "literal": "x"}]},
        "status": {"secretName": secret} if secret else {},
    }
    facts = Facts(cast("Any", server), "shop", lambda: NOW)
    probe = Probe(facts, "keyturn-system", lambda _: None, patience=2)
    found = await probe.findings([Declared(ManagedSecret.model_validate(body), None, None)])
    return None if found is None else [(one.verdict, one.evidence) for one in found]


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        (Server(timedelta(hours=23)), "Pass"),
        (Server(timedelta(hours=25)), "Unknown"),
        (Server(timedelta(hours=1), who="another"), "Fail"),
        (Server(None), "Fail"),
    ],
    ids=["today", "a known reader, not today", "another reader", "nobody"],
)
async def test_a_probe_waits_only_for_whom_the_record_would_report(server: Server, verdict: str) -> None:
    found = await probed(server)

    assert found is not None
    assert [one for one, _ in found] == [verdict]
    assert ("auth" in server.reads) is (verdict != "Pass")


async def test_what_is_no_record_proves_nothing() -> None:
    assert await probed(Server(None, type_="Opaque")) is None


async def test_where_nothing_is_recorded_nothing_is_read() -> None:
    class Bare(Server):
        async def get(self, path: str, **_: Any) -> Any:
            raise errors.NotFound("get", path, 404, "NotFound")

    assert await probed(Bare(None)) is None


async def test_without_a_managed_secret_there_is_nothing_to_probe_with() -> None:
    assert await probed(Server(None), secret=None) == [
        ("Unknown", "there is no managed Secret to be read for a probe")
    ]

"""A read of a managed Secret proves that access is logged, where a real API server tells the operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from keyturn.api.managedsecret import ManagedSecret
from keyturn.checklist.facts import Declared, Facts
from keyturn.checklist.probe import Probe
from keyturn.endpoints.audit import persistence as record
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope, Entry
from keyturn.endpoints.audit.baseline import Habits
from keyturn.endpoints.audit.event import SubjectKind
from keyturn.kube import errors
from tests.access.test_cluster import audited, space  # noqa: F401  # an API server with its audit webhook
from tests.checklist import cluster
from tests.cli.console import Console
from tests.support.kubectl import eventually

if TYPE_CHECKING:
    from tests.access.test_cluster import Audited
    from tests.cluster.space import Space


def test_a_read_that_is_recorded_proves_that_access_is_logged(
    audited: Audited,  # noqa: F811
    space: Space,  # noqa: F811
) -> None:
    console = Console(audited.plane.kubeconfig, space.namespace)
    record = ("get", "secret", "keyturn-access", "-n", "keyturn-system", "-o", "name")
    audited.account(space.namespace, "somebody")("get", "secret", "auth", "-n", space.namespace, "-o", "name")
    eventually(lambda: audited.kubectl.run(*record).returncode == 0, "there is a record", timeout=120)

    first = cluster.audited(console, "--only", "access-log")
    again = cluster.audited(console, "--only", "access-log")

    assert (first.code, again.code) == (0, 0)
    assert first.found("Pass")
    assert "your reads are recorded, the last one at" in again.found("Pass")[0][1]


def test_whoever_may_not_see_the_record_is_told_what_is_missing(
    audited: Audited,  # noqa: F811
    space: Space,  # noqa: F811
) -> None:
    audited.account(space.namespace, "auditor")
    console = Console(audited.folder / f"{space.namespace}-auditor", space.namespace)

    done = cluster.audited(console, "--only", "access-log")

    assert done.code == 2
    assert done.found("Unknown")


# What an older record says

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Server:
    """An API server with a record in which one has read auth so long ago, or nobody has."""

    def __init__(self, ago: timedelta | None, who: str = "me", type_: str = record.TYPE) -> None:
        self.reads: list[str] = []
        journal = AccessLog()
        if ago is not None:
            entry = Entry(SubjectKind.USER, frozenset({"get"}), NOW - ago, NOW - ago, kept=1)
            journal.merge(AccessScope("shop", "auth"), who, entry)
        habits = Habits(b"k" * 32, timedelta(0), 0)
        self.record = record.body_of(
            "keyturn-system", None, habits, *map(record.sheet_of, (journal, AccessLog()))
        ) | {"type": type_}

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
async def test_a_probe_waits_only_for_whom_the_record_would_tell_of(server: Server, verdict: str) -> None:
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

"""Whom an audit event concerns, and what is counted and told of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from keyturn.core.observation.emergency import Reader
from keyturn.endpoints.audit.access_log import Record, readers_of
from keyturn.endpoints.audit.classifier import Watcher
from keyturn.endpoints.audit.event import parse
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.secret_informer import SecretMeta
from tests.support.cases import case, cases
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at, event, login_failed

OURSELVES = "system:serviceaccount:keyturn-system:keyturn"


def cache() -> InformerCache:
    """Return a mirror of ManagedSecret shop/auth with a Secret of another name, and of a Secret that is a copy."""
    cache = InformerCache()
    metadata = {"name": "auth", "namespace": "shop", "uid": "1", "resourceVersion": "1"}
    cache.put_managed({"metadata": metadata, "spec": {}})
    for name in ("login", "auth-keyturn"):
        cache.put_secret(SecretMeta("shop", name, "1", name, "auth", 1, None))
    cache.put_secret(SecretMeta("shop", "copy", "1", "copy", "auth", 1, None, written=False))
    return cache


def watcher(
    mirrored: InformerCache | None = None, *, allowed: tuple[str, ...] = (), since: datetime | None = None
) -> Watcher:
    return Watcher(
        mirrored or cache(),
        lambda: START,
        timedelta(days=14),
        allowed,
        known=Record(since or at(days=-30)),
        is_ourselves=lambda subject: subject == OURSELVES,
    )


def take(watcher: Watcher, *events: dict[str, Any]) -> None:
    """Take events as they happen."""
    for one in events:
        watcher.now = partial(datetime.fromisoformat, one["stageTimestamp"])
        take_late(watcher, one)


def take_late(watcher: Watcher, *events: dict[str, Any]) -> None:
    for one in events:
        told = parse(one)
        assert told
        watcher.take(told)


def readers(watcher: Watcher) -> list[tuple[str, str, int]]:
    return [(one.subject, one.reach, one.count) for one in found(watcher)]


def found(watcher: Watcher, since: datetime = START) -> list[Reader]:
    return readers_of([one.read for one in watcher.records], "shop", ["auth"], since)[0]


def refused(watcher: Watcher, since: datetime = START) -> list[Reader]:
    return readers_of([one.refused for one in watcher.records], "shop", ["auth"], since)[0]


async def test_reads_of_target_and_state_are_reads_of_the_managed_secret(
    counted: Callable[[str], Any],
) -> None:
    it = watcher()
    take(it, event(name="login"), event(name="auth-keyturn"))
    assert readers(it) == [(API, "secret", 2)]
    assert counted("secret_access_total") == {"get serviceaccount": 2}


@cases(
    ("body", "is_noted"),
    case("a read of ours", event(user=OURSELVES, name="login"), True),
    case("of what is not there", event(user=OURSELVES, name="keyturn-access", code=404), True),
    case("a write of ours", event("update", user=OURSELVES, name="login"), False),
    case("a refused one", event(user=OURSELVES, name="login", code=403), False),
    case("a read of another", event(name="login"), False),
    case("another's, of what is not there", event(name="keyturn-access", code=404), False),
)
async def test_a_read_of_ours_that_comes_back_is_noted(
    body: dict[str, Any], counted: Callable[[str], Any], *, is_noted: bool
) -> None:
    noted: list[datetime] = []
    it = watcher()
    it.note_own = noted.append

    take(it, body)

    assert bool(noted) is is_noted
    if "update" not in body["verb"] and OURSELVES in str(body):
        assert counted("secret_access_total") == {}


async def test_a_list_is_counted_from_the_namespaces_first_managed_secret_on(
    counted: Callable[[str], Any],
) -> None:
    mirrored = cache()
    it = watcher(mirrored)
    take(it, event("list", name=""), event("list", namespace="bank", name=""))

    metadata = {"name": "auth", "namespace": "bank", "uid": "2", "resourceVersion": "2"}
    mirrored.put_managed({"metadata": metadata, "spec": {}})
    take(it, event("list", namespace="bank", name=""))

    assert counted("secret_access_total") == {"list serviceaccount": 2}


@cases(
    "body",
    case("a Secret of others", event(name="other")),
    case("a copy", event(name="copy")),
    case("another namespace", event(namespace="bank", name="auth")),
    case("a list elsewhere", event("list", namespace="bank", name="")),
    case("ourselves", event(user=OURSELVES, name="login")),
    case("our own refusal", event(user=OURSELVES, name="login", code=403)),
    case("a refusal of others' Secrets", event(name="other", code=403)),
)
async def test_nothing_is_counted_of(body: dict[str, Any], counted: Callable[[str], Any]) -> None:
    it = watcher()
    take(it, body)
    assert it.record.is_empty
    for name in ("secret_access_total", "secret_access_refused_total", "secret_access_unusual_total"):
        assert counted(name) == {}


async def test_a_list_of_the_namespace_or_of_all_is_a_read(counted: Callable[[str], Any]) -> None:
    it = watcher()
    take(it, event("list", name=""), event("list", name="", namespace="", time=at(hours=1)))
    assert readers(it) == [(API, "cluster", 1), (API, "namespace", 1)]
    assert sum(counted("secret_access_total").values()) == 2


async def test_who_deletes_a_secret_is_remembered_when_it_is_gone_already() -> None:
    it = watcher()
    take(it, event("delete", name="auth"))
    assert readers(it) == [(API, "secret", 1)]


async def test_a_refused_read_is_counted_and_is_no_read(counted: Callable[[str], Any]) -> None:
    it = watcher()
    take(it, event(name="login", code=403))
    assert sum(counted("secret_access_refused_total").values()) == 1
    assert readers(it) == []
    assert [(one.subject, one.count) for one in refused(it)] == [(API, 1)]


async def test_who_is_refused_is_named_in_the_log_once_in_an_hour() -> None:
    it = watcher()
    with capture_logs() as logs:
        for minutes in (0, 10, 61):
            take(it, event(name="login", code=403, time=at(minutes=minutes)))
        take(it, event("list", user=ALICE, name="", code=403))

    assert [(one["event"], one["subject"], one["verb"], one["secret"]) for one in logs] == [
        ("refused access", API, "get", "auth"),
        ("refused access", API, "get", "auth"),
        ("refused access", ALICE, "list", "all"),
    ]


async def test_a_stranger_is_reported_once_with_its_name_in_the_log_only(
    counted: Callable[[str], Any],
) -> None:
    it = watcher()
    with capture_logs() as logs:
        take(it, event(name="login"), event(name="login"))
    assert counted("secret_access_unusual_total") == {"NewReader": 1}
    assert [(one["reason"], one["subject"], one["namespace"], one["secret"]) for one in logs] == [
        ("NewReader", API, "shop", "auth")
    ]


async def test_a_reader_of_the_stored_record_is_not_new(counted: Callable[[str], Any]) -> None:
    it = watcher()
    take(it, event(name="login"))
    it.known, it.record = it.record, Record()
    take(it, event(name="login"))
    it.sending, it.known = it.known, Record()
    take(it, event(name="login"))
    assert counted("secret_access_unusual_total") == {"NewReader": 1}


async def test_no_reader_is_new_in_the_learning_time(counted: Callable[[str], Any]) -> None:
    it = watcher(since=at(days=-13))
    take(it, event(name="login"), event(user=ALICE, name="login", time=at(days=1, seconds=-1)))
    assert counted("secret_access_unusual_total") == {}
    take(it, event(user="bob", name="login", time=at(days=1)))
    assert counted("secret_access_unusual_total") == {"NewReader": 1}


@pytest.mark.parametrize(
    "user",
    [
        "system:node:worker-1",
        "system:kube-controller-manager",
        "system:serviceaccount:kube-system:namespace-controller",
        "system:serviceaccount:argocd:argocd-server",
    ],
)
async def test_who_is_expected_everywhere_is_never_unusual(user: str, counted: Callable[[str], Any]) -> None:
    it = watcher(with_class("ada"), allowed=("system:serviceaccount:argocd:*",))
    take(it, event(user=user, name="login"))
    assert counted("secret_access_unusual_total") == {}
    assert len(readers(it)) == 1


@pytest.mark.parametrize(
    ("since", "user", "standing"),
    [
        (at(days=-30), API, "new"),
        (at(days=-3), API, "unknown"),
        (at(days=-3), "system:node:worker-1", "known"),
    ],
)
async def test_it_is_noted_what_was_known_of_a_reader(since: datetime, user: str, standing: str) -> None:
    it = watcher(since=since)
    take(it, event(user=user, name="login"), event(user=user, name="login", time=at(days=1)))

    assert [one.status for one in found(it)] == [standing]


# Events from a wrong clock


@cases(
    ("sent", "counted_as"),
    case("a minute ahead", at(seconds=60), at(seconds=60)),
    case("more than a minute ahead", at(seconds=61), at(seconds=60)),
    case("years ahead", at(days=3650), at(seconds=60)),
    case("a day old", at(days=-1), at(days=-1)),
    case("more than a day old", at(days=-1, seconds=-1), at(days=-1)),
    case("years old", at(days=-2000), at(days=-1)),
)
async def test_the_time_of_an_event_is_a_minute_ahead_and_a_day_old_at_most(
    sent: datetime, counted_as: datetime
) -> None:
    it, own = watcher(), list[datetime]()
    it.note_own = own.append
    take_late(
        it,
        event(name="login", time=sent),
        event(name="login", code=403, time=sent),
        event(user=OURSELVES, name="login", time=sent),
        event(user=OURSELVES, name="keyturn-access", code=404, time=sent),
    )

    (reader,), (other,) = found(it, at(days=-9999)), refused(it, at(days=-9999))
    assert {reader.first, reader.last, other.first, other.last, *own} == {counted_as}


async def test_an_event_years_old_does_not_end_the_learning_period(counted: Callable[[str], Any]) -> None:
    it = watcher()
    it.known = Record()
    take_late(it, event(user="system:serviceaccount:shop:late", name="login", time=at(days=-2000)))
    take_late(it, event(name="login"))

    assert it.since == at(days=-1)
    assert counted("secret_access_unusual_total") == {}


async def test_an_event_years_ahead_silences_no_later_one() -> None:
    it = watcher(with_class("ada"))
    take_late(it, event(user=ALICE, name="login", time=at(days=3650)))
    with capture_logs() as logs:
        take(it, event(user=ALICE, name="login", time=at(hours=2)))

    assert [one["reason"] for one in logs] == ["NotListed"]


ROBOT = "system:serviceaccount:argocd:argocd-server"


def with_class(*allowed: str, second: bool = False) -> InformerCache:
    """Return a mirror whose ManagedSecret follows a class with these patterns, and perhaps a second one without."""
    mirrored = cache()
    for name, class_name in (("auth", "strict"), *((("mail", ""),) if second else ())):
        metadata = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "2"}
        mirrored.put_managed({"metadata": metadata, "spec": {"className": class_name}})
    spec = {"access": {"allowed": list(allowed)}} if allowed else {}
    mirrored.put_class({"metadata": {"name": "strict", "resourceVersion": "1"}, "spec": spec})
    return mirrored


@pytest.mark.parametrize(
    ("mirrored", "body", "unusual"),
    [
        (with_class("*:argocd:*"), event(user=ROBOT, name="login"), {}),
        (with_class(ROBOT, "ada"), event("list", user=ROBOT, name=""), {}),
        (with_class("*:argocd:*"), event(user=API, name="login"), {"NotListed": 2}),
        (with_class("*:argocd:*"), event("list", user=API, name=""), {"NotListed": 2}),
        (with_class(), event(user=ROBOT, name="login"), {"NewReader": 1}),
        (with_class(ROBOT, second=True), event("list", user=ROBOT, name=""), {"NewReader": 1}),
        (with_class(ROBOT), event("list", user=ROBOT, name="", namespace=""), {"NewReader": 1}),
        (
            with_class(ROBOT),
            event(user=ALICE, name="login", impersonatedUser={"username": ROBOT}),
            {"NotListed": 2},
        ),
    ],
    ids=[
        "one that the class lists",
        "a list of a namespace whose every class lists it",
        "another one",
        "a list by another one",
        "a class without a list",
        "a list that reaches what another class has",
        "a list of the whole cluster",
        "who pretends to be it",
    ],
)
async def test_whom_the_class_lists_is_usual_and_all_others_are_not(
    mirrored: InformerCache, body: dict[str, Any], unusual: dict[str, int], counted: Callable[[str], Any]
) -> None:
    take(watcher(mirrored), body, body)
    assert counted("secret_access_unusual_total") == unusual


async def test_each_read_of_whom_the_class_does_not_list_counts_and_is_logged_once_in_an_hour(
    counted: Callable[[str], Any],
) -> None:
    it = watcher(with_class("ada"), since=START)
    with capture_logs() as logs:
        for minutes in (0, 10, 70):
            take(it, event(user=ALICE, name="login", time=at(minutes=minutes)))
    assert counted("secret_access_unusual_total") == {"NotListed": 3}
    assert [one["reason"] for one in logs] == ["NotListed", "NotListed"]


async def test_who_pretends_to_be_an_expected_one_is_a_stranger(counted: Callable[[str], Any]) -> None:
    it = watcher(allowed=("system:serviceaccount:argocd:*",))
    acting = {"username": "system:serviceaccount:argocd:argocd-server"}
    take(it, event(user=ALICE, name="login", impersonatedUser=acting))
    assert counted("secret_access_unusual_total") == {"NewReader": 1}


async def test_refused_logins_are_counted(counted: Callable[[str], Any]) -> None:
    take(watcher(), *[login_failed()] * 80)

    assert counted("authentication_failures_total") == {"apiserver": 80}

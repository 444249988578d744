"""Where values come from and go to, and when they are read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.account import Account, Drift, Sessions
from keyturn.api.rotation import AppliedBy
from keyturn.api.source import DataFrom, From, PushTo, StoreKind, StoreRef
from keyturn.api.target import DeletionPolicy
from keyturn.core.errors import Stalled
from keyturn.core.spec.references import (
    Capacity,
    Destination,
    Source,
    account_desired,
    destination_of,
    next_refresh,
    source_of,
    spread_of,
)
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.accounts import ACCOUNT, ALONE, TWICE, spec

LOCAL, SHARED = StoreKind.SECRET_STORE, StoreKind.CLUSTER_SECRET_STORE
VAULT: dict[str, Any] = {"storeRef": {"name": "vault"}}
AWS: dict[str, Any] = {"storeRef": {"kind": "ClusterSecretStore", "name": "aws"}}


def from_(ref: dict[str, Any], store: dict[str, Any] = VAULT) -> Source:
    return source_of(From.model_validate({**store, "remoteRef": ref}))


def every(ref: dict[str, Any], store: dict[str, Any] = VAULT, **others: Any) -> Source:
    return spread_of(DataFrom.model_validate({**store, "remoteRef": ref, **others}))


def push(store: dict[str, Any] = VAULT, **others: Any) -> Destination:
    return destination_of(PushTo.model_validate({**store, "remoteRef": {"key": "shop/db"}, **others}))


# References


@cases(
    ("source", "expected"),
    case("a key", from_({"key": "a"}), Source(LOCAL, "vault", "a")),
    case(
        "a property of a version",
        from_({"key": "a", "property": "b.c", "version": "3"}, AWS),
        Source(SHARED, "aws", "a", "b.c", "3"),
    ),
    case("all of a key", every({"key": "a"}), Source(LOCAL, "vault", "a", prefix="")),
    case(
        "all of a version under other names",
        every({"key": "a", "version": "3"}, AWS, prefix="APP_"),
        Source(SHARED, "aws", "a", None, "3", "APP_"),
    ),
)
def test_a_source_is_filled_in(source: Source, expected: Source) -> None:
    assert source == expected


def test_only_the_store_can_name_what_a_spread_brings() -> None:
    assert every({"key": "a"}).spreads
    assert not from_({"key": "a"}).spreads


@cases(
    ("destination", "expected"),
    case("with every default", push(), Destination(LOCAL, "vault", "shop/db")),
    case(
        "with the defaults written out",
        push(updatePolicy="Replace", deletionPolicy="Retain"),
        Destination(LOCAL, "vault", "shop/db"),
    ),
    case(
        "with everything else",
        push(AWS, secretKey="pw", updatePolicy="IfNotExists", deletionPolicy="Delete"),
        Destination(SHARED, "aws", "shop/db", "pw", replaces=False, deletes=True),
    ),
)
def test_a_destination_is_filled_in(destination: Destination, expected: Destination) -> None:
    assert destination == expected


@pytest.mark.parametrize("kind", StoreKind)
def test_a_reference_names_its_store(kind: StoreKind) -> None:
    ref = StoreRef(kind=kind, name="vault")
    assert (Source(kind, "vault", "a").ref, Destination(kind, "vault", "a").ref) == (ref, ref)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (from_({"key": "a"}), "key 'a' of SecretStore 'vault'"),
        (from_({"key": "a", "property": "b"}, AWS), "key 'a' of ClusterSecretStore 'aws', property 'b'"),
        (every({"key": "a", "version": "3"}), "key 'a' of SecretStore 'vault', version '3'"),
        (push(secretKey="pw"), "key 'shop/db' of SecretStore 'vault'"),
    ],
)
def test_people_read_where_it_is(place: Source | Destination, text: str) -> None:
    assert str(place) == text


sources = st.builds(
    Source,
    st.sampled_from(StoreKind),
    st.text(max_size=3),
    st.text(max_size=3),
    st.none() | st.text(max_size=3),
    st.none() | st.text(max_size=3),
    st.none() | st.text(max_size=3),
)


@given(sources, sources)
def test_two_sources_are_written_alike_only_if_they_are_equal(one: Source, other: Source) -> None:
    assert (one.text == other.text) == (one == other)


# Places


@pytest.mark.parametrize("destination", [push(), push(AWS, secretKey="pw", deletionPolicy="Delete")])
def test_a_place_is_read_back_and_says_nothing_of_what_goes_there(destination: Destination) -> None:
    read = Destination.at(destination.id)
    assert read == Destination(destination.kind, destination.store, destination.key)
    assert read.id == destination.id


@pytest.mark.parametrize(
    "place",
    [
        "",
        "[",
        "[" * 100_000,
        "1",
        "1" * 6000,
        '"abc"',
        "{}",
        '["SecretStore","vault"]',
        '["SecretStore","vault","a","b"]',
        '["Secret","vault","a"]',
        '[["SecretStore"],"vault","a"]',
        '["SecretStore",1,"a"]',
        '["SecretStore","../vault","a"]',
        '["SecretStore","vault",null]',
        '["SecretStore","vault",""]',
        '["SecretStore","vault","a/../b"]',
        '["SecretStore","vault","' + "a" * 2000 + '"]',
    ],
    ids=str.__len__,
)
def test_what_is_no_place_is_refused_without_a_word_of_it(place: str) -> None:
    with pytest.raises(ValueError, match=r"^no place$") as raised:
        Destination.at(place)
    assert raised.value.__context__ is None


@cases(
    ("other", "is_same_place"),
    case("another value", push(secretKey="pw"), True),
    case("another policy", push(updatePolicy="IfNotExists"), True),
    case("another store", push(AWS), False),
)
def test_what_is_pushed_otherwise_is_written_otherwise(other: Destination, is_same_place: bool) -> None:
    assert push().text != other.text
    assert (push().id == other.id) is is_same_place


def test_what_becomes_of_it_later_is_no_other_push() -> None:
    assert push().text == push(deletionPolicy="Delete").text


# When they are read again

HOUR = timedelta(hours=1)
intervals = st.timedeltas(timedelta(seconds=10), timedelta(days=365))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
names = st.text("abc", min_size=1, max_size=3)
several = st.lists(st.builds(Source, st.sampled_from(StoreKind), names, names), min_size=1, max_size=3)


@given(intervals, several, names, moments)
def test_the_next_read_is_later_and_one_interval_later_at_most(
    interval: timedelta, read: list[Source], namespace: str, after: datetime
) -> None:
    assert after < next_refresh(interval, read, namespace, after) <= after + interval


@given(intervals, several, names, moments, st.floats(0, 1, exclude_max=True))
def test_who_starts_in_between_reads_at_the_same_moment(
    interval: timedelta, read: list[Source], namespace: str, after: datetime, part: float
) -> None:
    due = next_refresh(interval, read, namespace, after)
    between = after + (due - after) * part
    assert next_refresh(interval, read, namespace, between) == due or between >= due


@given(intervals, several, names, moments)
def test_the_reads_are_one_interval_apart(
    interval: timedelta, read: list[Source], namespace: str, after: datetime
) -> None:
    due = next_refresh(interval, read, namespace, after)
    assert next_refresh(interval, read, namespace, due) == due + interval


@given(intervals, several, names, moments)
def test_who_reads_the_same_reads_it_together(
    interval: timedelta, read: list[Source], namespace: str, after: datetime
) -> None:
    assert next_refresh(interval, read[::-1], namespace, after) == next_refresh(
        interval, read, namespace, after
    )


@pytest.mark.parametrize("apart_by", ["key", "namespace"])
def test_others_are_read_at_other_times(apart_by: str) -> None:
    after, count = datetime(2026, 11, 24, 12, tzinfo=UTC), 1000
    due = sorted(
        next_refresh(
            HOUR,
            [Source(LOCAL, "vault", f"{number}" if apart_by == "key" else "a")],
            "shop" if apart_by == "key" else f"shop-{number}",
            after,
        )
        for number in range(count)
    )
    in_tenths = [sum(1 for one in due if (one - after) // (HOUR / 10) == tenth) for tenth in range(10)]
    assert all(50 < in_tenth < 150 for in_tenth in in_tenths)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (Destination(StoreKind.SECRET_STORE, "vault", "shop/db", "password").text, "password"),
        (Destination(StoreKind.SECRET_STORE, "vault", "shop/db").text, None),
        ("no JSON", None),
        ("[1, 2]", None),
        ("[1, 2, 3, 4, 5]", None),
        ("7", None),
        ("[" * 100_000, None),
    ],
)
def test_the_key_that_goes_somewhere_alone_is_read_back(text: str, key: str | None) -> None:
    assert Destination.secret_key_in(text) == key


# `spec.account` with its defaults, and the value that is its password


ALTERNATING = Capacity.alternating("app")
LONG: dict[str, Any] = {"name": "token", "generate": {"password": {}}}


def test_defaults() -> None:
    found = make.desired(spec()).account
    assert found is not None
    assert (found.target.name, found.username, found.password) == ("orders", "app", "password")
    assert (found.sessions, found.drift) == (Sessions.KEEP, Drift.REPAIR)
    assert found.probe_interval == timedelta(minutes=10)
    assert (found.deletes, found.repairs) == (False, True)


def test_everything_is_set() -> None:
    found = account_desired(
        Account.model_validate(
            {
                **ACCOUNT,
                "passwordValue": "token",
                "sessions": "Terminate",
                "probe": {"every": "1h", "drift": "Report"},
                "deletionPolicy": "Delete",
            }
        ),
        ALONE,
    )
    assert (found.password, found.capacity, found.sessions, found.probe_interval) == (
        "token",
        ALONE,
        Sessions.TERMINATE,
        timedelta(hours=1),
    )
    assert (found.deletes, found.repairs) == (True, False)
    assert found.deletion is DeletionPolicy.DELETE


@cases(
    ("capacity", "overlaps", "renames", "every_name"),
    case("two names", ALTERNATING, True, True, ("app_a", "app_b", "app")),
    case("two passwords of one name", TWICE, True, False, ("app",)),
    case("one password of one name", ALONE, False, False, ("app",)),
)
def test_what_a_capacity_says_of_two_passwords(
    capacity: Capacity, every_name: tuple[str, ...], *, overlaps: bool, renames: bool
) -> None:
    assert (capacity.overlaps, capacity.renames) == (overlaps, renames)
    database = make.desired(spec(), capacity=capacity).account
    assert database is not None
    assert database.every_name == every_name


@cases(
    ("capacity", "taken", "free"),
    case("the first of two", ALTERNATING, [], "app_a"),
    case("the second of two", ALTERNATING, ["app_a"], "app_b"),
    case("another one is taken", ALTERNATING, ["app"], "app_a"),
    case("both are taken", ALTERNATING, ["app_b", "app_a"], None),
    case("room for a second password", TWICE, ["app"], "app"),
    case("no room for a third", TWICE, ["app", "app"], None),
    case("no room for a second", ALONE, ["app"], None),
)
def test_a_name_is_free_that_has_room_for_a_password(
    capacity: Capacity, taken: list[str], free: str | None
) -> None:
    assert capacity.free_name(taken) == free


def test_the_login_is_a_value_that_lasts_as_long_as_its_password() -> None:
    kept = {**make.PASSWORD, "keepPrevious": True}
    item = make.desired(spec(data=[kept])).items[-1]
    assert (item.name, dict(item.keys), item.is_login) == ("username", {"value": "username"}, True)
    assert item.keep_previous
    assert not make.desired(spec()).items[-1].keep_previous


def test_keyturn_applies_the_password_whatever_the_class_says() -> None:
    of_class = make.secret_class(rotation={"appliedBy": "Nobody"})
    assert make.desired(spec(), of_class).applied_by is AppliedBy.KEYTURN
    assert make.desired({}, of_class).applied_by is AppliedBy.NOBODY


@cases(
    ("data", "database"),
    case("no item of that name", [LONG], {}),
    case("a literal", [{"name": "password", "literal": "x"}, LONG], {}),
    case("another username", [make.PASSWORD, {"name": "username", "literal": "x"}], {}),
    case("its key", [make.PASSWORD, {**LONG, "keys": {"value": "username"}}], {}),
)
def test_a_password_is_one_generated_value(data: list[Any], database: dict[str, Any]) -> None:
    with pytest.raises(Stalled) as caught:
        make.desired(spec(database, data=data))
    assert caught.value.reason == "InvalidDatabase"


def test_a_password_of_a_class_is_text() -> None:
    """The rule of the CRD sees the generator of the item only, and a server takes no raw bytes."""
    raw = make.secret_class(generate={"bytes": {"encoding": "raw"}})
    with pytest.raises(Stalled, match="InvalidDatabase") as caught:
        make.desired(spec(data=[{"name": "password"}]), raw)
    assert "raw" in caught.value.message
    text = make.secret_class(generate={"bytes": {"encoding": "hex"}})
    assert make.desired(spec(data=[{"name": "password"}]), text).account

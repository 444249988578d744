"""The state Secret: what is written is read again, and nothing that people do to it breaks the reading."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.source import StoreKind
from keyturn.api.status import HistoryEntry
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import (
    Credential,
    ItemValues,
    Phase,
    Rendered,
    Revision,
    RevisionFacts,
    StoreLease,
    Validity,
)
from keyturn.core.state.state import Publication, Pushed, RollbackPause, State, Triggers
from keyturn.core.value import Value
from keyturn.kube.state_secret import fitted, state_body, state_of
from tests.support.cases import case, cases
from tests.unit.core import builders as make

KEY = ObjectKey("shop", "db")
WHEN = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
CANARY = "canary-7Qd0"


def revision(number: int, text: str) -> tuple[RevisionFacts, Revision]:
    of_revision = RevisionFacts(number, "Triggered", WHEN, frozenset({"password"}))
    kept = ItemValues(
        "",
        {"value": Value.of_text(text)},
        {"value": "password"},
        Validity(WHEN, WHEN),
        lease="database/creds/db/1",
    )
    rendered = {"url": Rendered("{{ password }}", Value.of_text(text))}
    return of_revision, Revision({"password": kept}, rendered)


STATE = make.record(
    revision(2, CANARY),
    revision(1, f"old {CANARY}"),
    uid="uid",
    rotated=WHEN,
    publications=(Publication(1, WHEN),),
    rollback_pause=RollbackPause(2, 1, WHEN, failed=True, cause="Deployment/api: its new pods crash"),
    pushed=(
        Pushed(Destination(StoreKind.SECRET_STORE, "vault", "shop/db").id, "", 2, done=True, deletes=False),
    ),
    history=(
        HistoryEntry(revision=2, reason="Triggered", started_at=WHEN, finished_at=WHEN, result="Succeeded"),
    ),
    leases=(
        StoreLease(
            Destination(StoreKind.SECRET_STORE, "vault", "creds/db").id,
            "database/creds/db/1",
            "accessor",
            timedelta(hours=1),
            WHEN,
            issuer="https://vault.test/#database",
        ),
    ),
)

NO_TEXTS: tuple[Any, ...] = (0, False, [], {})

times = st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1))  # noqa: DTZ001
texts = st.text(max_size=20)
names = st.from_regex(r"[-._a-zA-Z0-9]{1,20}", fullmatch=True)
facts = st.builds(
    RevisionFacts,
    number=st.integers(1, 10**9),
    reason=st.from_regex(r"[A-Z][A-Za-z]{1,30}", fullmatch=True),
    made=times,
    changed=st.frozensets(names, max_size=3),
    base=st.none() | st.integers(1, 10**9),
    fallback=st.none() | st.integers(1, 10**9),
    previous=st.frozensets(names, max_size=3),
    valid_until=st.none() | times.filter(lambda time: time.year <= 9000),
    ended=st.booleans(),
    credential=st.none() | st.integers(1, 10**9),
    supersedes=st.sampled_from([None, 0]) | st.integers(0, 10**9),
    abandoned=st.booleans(),
    rotated_before=st.none() | times,
    fresh=st.frozensets(names, max_size=3),
    answers=st.frozensets(names, max_size=3),
    dates=st.dictionaries(names, times, max_size=3),
)
credentials = st.builds(
    Credential,
    st.integers(0, 10**9),
    st.from_regex(r"[A-Za-z0-9_.-]{1,63}", fullmatch=True),
    st.sampled_from(Phase),
    times,
    st.integers(0, 3),
    item=st.from_regex(r"[-._a-zA-Z0-9]{1,253}", fullmatch=True),
    target=st.sampled_from(["DatabaseTarget/orders", "ClusterDatabaseTarget/shared.eu"]),
    proven=st.none() | times,
)
content = st.binary(max_size=40).map(Value)
outputs = st.dictionaries(st.sampled_from(["value", "privateKey"]), content)
values = st.builds(
    ItemValues,
    recipe=texts,
    outputs=st.fixed_dictionaries({"value": content, "privateKey": content}),
    keys=st.just({"value": "password", "privateKey": "key.pem"}),
    life=st.none() | st.builds(Validity, renew=times, end=times),
    overlap=outputs,
    previous=outputs,
    earlier=outputs,
)
revisions = st.builds(
    Revision,
    values=st.dictionaries(names, values, max_size=3),
    rendered=st.dictionaries(
        names, st.builds(Rendered, template=texts, value=content, overlap=st.none() | content), max_size=2
    ),
)
optional = st.none() | texts
places = st.builds(
    Destination,
    st.sampled_from(StoreKind),
    st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True),
).map(lambda one: one.id)
pushes = st.builds(
    Pushed,
    places,
    texts,
    st.integers(1, 10**9),
    done=st.booleans(),
    deletes=st.booleans(),
    kept=st.booleans(),
    ours=st.booleans(),
)


def state(known: Sequence[tuple[RevisionFacts, Revision | None]], newest: Revision, **others: Any) -> State:
    """Make a state; values of revisions without any are dropped, except for those of the newest."""
    ordered = sorted(known, key=lambda one: one[0].number, reverse=True)
    values = {of_revision.number: found or newest for of_revision, found in ordered[:1]}
    values |= {of_revision.number: found for of_revision, found in ordered if found}
    return State.of(make.state(*(of_revision for of_revision, _ in ordered), **others), values)


states = st.builds(
    state,
    uid=texts,
    rotated=times,
    triggers=st.builds(
        Triggers, spec=optional, annotation=optional, last=optional, rollback=optional, refresh=optional
    ),
    known=st.lists(
        st.tuples(facts, st.none() | revisions), min_size=1, max_size=6, unique_by=lambda one: one[0].number
    ),
    newest=revisions,
    publications=st.lists(st.builds(Publication, st.integers(1, 10**9), times), max_size=3).map(tuple),
    used=st.integers(0, 10**9),
    refreshed=st.none() | times,
    pushed=st.lists(pushes, max_size=3).map(tuple),
    credentials=st.lists(credentials, max_size=3).map(tuple),
    rollback_pause=st.none()
    | st.builds(
        RollbackPause,
        st.integers(1, 10**9),
        st.integers(0, 10**9),
        times,
        st.booleans(),
        st.text(),
        st.booleans(),
    ),
)


@pytest.mark.parametrize("is_carried", [False, True])
def test_that_a_revision_had_a_lease_outlasts_a_restart(*, is_carried: bool) -> None:
    dropped = replace(STATE.facts.leases[0], id="database/creds/db/0", is_carried=is_carried)
    written = state_body(KEY, STATE.with_facts(replace(STATE.facts, leases=(dropped,))), None, "")

    assert [loan.is_carried for loan in state_of(written).facts.leases] == [is_carried]


def test_an_entry_of_the_history_has_every_field_of_one() -> None:
    with pytest.raises(Stalled):
        state_of(edited(lambda read: read["history"][0].pop("result")))


@given(states)
def test_a_state_is_read_as_it_was_written(state: State) -> None:
    assert state_of(state_body(KEY, state, None, "")) == state


@given(states)
def test_a_state_that_is_read_is_written_in_the_same_bytes(state: State) -> None:
    body = state_body(KEY, state, None, "")
    assert state_body(KEY, state_of(body), None, "") == body


ACCOUNT = STATE.with_facts(
    replace(
        STATE.facts,
        revisions=tuple(replace(one, credential=one.number, supersedes=0) for one in STATE.facts.revisions),
        credentials=(
            Credential(2, "app_b", Phase.PROVEN, WHEN, item="password", target="DatabaseTarget/orders"),
            Credential(0, "app_a", Phase.CLOSING, WHEN, item="password", target="DatabaseTarget/orders"),
        ),
    )
)


def test_an_unknown_previous_login_is_kept() -> None:
    assert state_of(state_body(KEY, ACCOUNT, None, "")) == ACCOUNT


def edited_account(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    read = orjson.loads(base64.b64decode(state_body(KEY, ACCOUNT, None, "")["data"]["state"]))
    change(read)
    return body_of(orjson.dumps(read))


@cases(
    "change",
    case("a negative revision", {"revision": -1}),
    case("no revision", {"revision": None}),
    case("a revision of text", {"revision": CANARY}),
    case("a login with quotes", {"login": "app'; DROP ROLE app; --"}),
    case("no login", {"login": ""}),
    case("a login of digits", {"login": 7}),
    case("an unknown phase", {"phase": CANARY}),
    case("no time", {"since": CANARY}),
    case("no time of proof", {"proven": CANARY}),
    case("a negative count", {"tries": -1}),
    case("a count of text", {"tries": CANARY}),
    case("an item of digits", {"item": 7}),
    case("an item that is no name", {"item": f"{CANARY}\n"}),
    case("a target of digits", {"target": 7}),
    case("a target that is no name", {"target": CANARY}),
)
def test_an_edited_credential_is_not_read(change: dict[str, Any]) -> None:
    with pytest.raises(Stalled) as caught:
        state_of(edited_account(lambda read: read["credentials"][0].update(change)))
    assert caught.value.reason == "StateUnreadable"


def test_a_state_that_is_too_large_keeps_the_values_of_open_credentials() -> None:
    text = "x" * 160_000
    known = make.state(
        *(make.revision(number, credential=number, fallback=None) for number in (4, 3, 2, 1)),
        credentials=(
            Credential(4, "app_b", Phase.PROVEN, WHEN, item="password", target="DatabaseTarget/orders"),
            Credential(1, "app_a", Phase.PROVEN, WHEN, item="password", target="DatabaseTarget/orders"),
        ),
    )
    large = State.of(known, {number: revision(number, text)[1] for number in (4, 3, 2, 1)})
    kept, _ = fitted(KEY, large, None, "")
    assert kept.facts.restorable == {4, 1}


def test_a_revision_without_values_is_written_under_older() -> None:
    known = make.state(make.revision(3), make.revision(2), make.revision(1))
    body = state_body(KEY, State.of(known, {3: revision(3, CANARY)[1], 1: revision(1, CANARY)[1]}), None, "")

    written = orjson.loads(base64.b64decode(body["data"]["state"]))

    assert [one["number"] for one in written["revisions"]] == [3, 1]
    assert [one["number"] for one in written["older"]] == [2]
    assert "values" not in written["older"][0]


def test_of_two_revisions_with_one_number_the_first_counts() -> None:
    def repeat(read: dict[str, Any]) -> None:
        read["revisions"].append({**read["revisions"][1], "number": 2})

    assert state_of(edited(repeat)).current == STATE.current


def test_the_state_secret_is_ours_and_of_its_own_type() -> None:
    body = state_body(KEY, STATE, "7", "")
    del body["data"]
    assert body == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "db-keyturn",
            "namespace": "shop",
            "labels": {"keyturn.dev/managed-secret": "db", "app.kubernetes.io/managed-by": "keyturn"},
            "resourceVersion": "7",
        },
        "type": "keyturn.dev/state",
    }


def document() -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(base64.b64decode(state_body(KEY, STATE, None, "")["data"]["state"]))
    return read


def body_of(written: bytes) -> dict[str, Any]:
    return {"metadata": {"name": "db-keyturn"}, "data": {"state": base64.b64encode(written).decode()}}


def edited(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    read = document()
    change(read)
    return body_of(orjson.dumps(read))


WRONG: Mapping[str, tuple[Any, ...]] = {
    "format": (2,),
    "revisions": ([], CANARY),
    "rotated": (CANARY, "2026-11-24T12:00:00"),
    "current": (9,),
    "held": (CANARY,),
    "held.cause": ([CANARY],),
    "triggers": ({CANARY: CANARY},),
    "triggers.last": ([CANARY], *NO_TEXTS),
    "publications.0.time": (CANARY,),
    "refreshed": (CANARY, [CANARY]),
    "revisions.0.number": (CANARY, 0, -1, 1.5, 1e300, 10**13, None),
    "revisions.0.reason": (f"{CANARY} said so",),
    "revisions.0.valid_until": ("9999-12-31T23:59:59+00:00",),
    "revisions.0.rendered.url": (CANARY,),
    "revisions.0.values": ([CANARY],),
    "revisions.0.values.password.keys": ({},),
    "revisions.0.values.password.outputs": ({},),
    "revisions.0.values.password.outputs.value": (f"!{CANARY}",),
    "revisions.0.values.password.life": ({"renew": CANARY},),
    "pushed": (None, CANARY, 7, {CANARY: CANARY}, [None]),
    "pushed.0.number": (0, -1, 1.5, 10**13, None),
    "pushed.0.text": (7,),
    "pushed.0.place": (
        CANARY,
        ["SecretStore", "vault", "a"],
        "[" * 100_000,
        '["Secret","vault","a"]',
        f'["SecretStore","../{CANARY}","a"]',
        '["SecretStore",null,"a"]',
        f'["SecretStore","vault","../{CANARY}"]',
        '["SecretStore","vault",["a"]]',
    ),
}
"""Fields of the document, by their path, and what none of them may hold."""


def with_field(path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split(".")

    def change(read: dict[str, Any]) -> None:
        part: Any = read
        for name in parents:
            part = part[int(name) if name.isdigit() else name]
        part[last] = value

    return edited(change)


@pytest.mark.parametrize(
    "body",
    [
        case("no data", {"metadata": {"name": "db-keyturn"}}),
        case("data of null", {"metadata": {"name": "db-keyturn"}, "data": None}),
        case("another key", {"metadata": {"name": "db-keyturn"}, "data": {"other": "eA=="}}),
        case("no base64", {"metadata": {"name": "db-keyturn"}, "data": {"state": "!"}}),
        case("no JSON", body_of(b"{" + CANARY.encode())),
        case("a list", body_of(orjson.dumps([CANARY]))),
        case("a text", body_of(orjson.dumps(CANARY))),
        case("bytes", body_of(b"\xff")),
        case("without a part", edited(lambda read: read.pop("uid"))),
        case("a push without a part", edited(lambda read: read["pushed"][0].pop("kept"))),
        *(
            case(f"{path}, {place}", with_field(path, value))
            for path, values in WRONG.items()
            for place, value in enumerate(values)
        ),
    ],
)
def test_a_state_that_cannot_be_read_is_reported_without_a_word_of_it(body: dict[str, Any]) -> None:
    with pytest.raises(Stalled) as caught:
        state_of(body)
    assert caught.value.reason == "StateUnreadable"
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None

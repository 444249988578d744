"""Key rings: what encrypts stays readable while its key is replaced."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet

from keyturn.core.errors import Stalled
from keyturn.generators import GeneratorContext
from tests.support.cases import case, cases
from tests.unit.generators.generated import NOW, boxed, generator_of, made_by, opened

PRIMARY, KEYS, RING = "primary", "keys", "ring.json"
Ring = dict[str, bytes]


def follow(before: Ring | None, days: int = 0, *, exposed: bool = False, **settings: Any) -> Ring:
    """Return the ring of the next revision."""
    now = NOW + timedelta(days=days)
    given = GeneratorContext(now, replaced=boxed(before) if before else None, is_exposed=exposed)
    return opened(generator_of("keyRing", settings).generate(given))


def listed(ring: Ring) -> list[bytes]:
    return ring[KEYS].split(b"\n")


def test_a_ring_has_the_primary_key_and_the_one_that_the_next_rotation_promotes() -> None:
    ring = follow(None)
    document = json.loads(ring[RING])
    ids = [entry["id"] for entry in document["keys"]]
    assert ring[PRIMARY] == listed(ring)[0]
    assert [document["primary"], document["next"]] == ids
    assert [entry["key"].encode() for entry in document["keys"]] == listed(ring)


def test_a_rotation_promotes_the_next_key_and_keeps_the_old_one() -> None:
    first = follow(None)
    old, following = listed(first)
    second = listed(follow(first))
    assert (second[0], second[2:]) == (following, [old])
    assert second[1] not in {old, following}


def test_the_newest_of_the_old_keys_comes_first() -> None:
    rings = [follow(None)]
    for _ in range(3):
        rings.append(follow(rings[-1]))
    assert listed(rings[-1])[2:] == [ring[PRIMARY] for ring in reversed(rings[:-1])]


def test_an_emergency_draws_both_keys_and_keeps_all_others_readable() -> None:
    before = follow(None)
    after = listed(follow(before, exposed=True))
    assert after[2:] == listed(before)
    assert set(after[:2]).isdisjoint(listed(before))


@cases(
    ("days", "stays"),
    case("before its end", 29, True),
    case("at its end", 30, False),
)
def test_a_rotation_drops_keys_that_were_replaced_long_ago(days: int, stays: bool) -> None:
    first = follow(None, retireAfter="30d")
    second = follow(first, retireAfter="30d")
    assert (first[PRIMARY] in listed(follow(second, days, retireAfter="30d"))) == stays


def test_no_key_is_dropped_without_a_limit_of_time_and_a_full_ring_says_so() -> None:
    ring = follow(None)
    for _ in range(62):
        ring = follow(ring, 36500)
    assert len(listed(ring)) == 64
    with pytest.raises(Stalled, match="write retireAfter"):
        follow(ring)


@cases(
    ("found", "settings"),
    case("a value of bytes", lambda: made_by("bytes"), {}),
    case("a primary key", lambda: {PRIMARY: made_by("bytes")["value"]}, {}),
    case("a Fernet key", lambda: {PRIMARY: Fernet.generate_key()}, {"encoding": "fernet"}),
)
def test_a_single_key_is_the_primary_of_a_ring_and_gets_a_next_one(found: Any, settings: Any) -> None:
    before = found()
    (key,) = before.values()
    ring = follow(before, **settings)
    assert (ring[PRIMARY], listed(ring)[0], len(listed(ring))) == (key, key, 2)
    assert generator_of("keyRing", settings).accepts(boxed(ring))


@cases(
    ("found",),
    case("no key", {"value": b"secret"}),
    case("a short key", {"value": base64.b64encode(bytes(15))}),
    case("a list that is none", {KEYS: b"[1]"}),
    case("a ring that is none", {RING: b"[]"}),
    case("a ring without keys", {RING: b'{"keys":[]}'}),
    case(
        "another primary key than its list",
        {PRIMARY: base64.b64encode(b"b" * 32), KEYS: base64.b64encode(bytes(32))},
    ),
)
def test_nothing_else_is_adopted(found: Ring) -> None:
    settings = {"format": "json"} if found.get(KEYS) == b"[1]" else {}
    assert generator_of("keyRing", settings).adopted(boxed(found)) is None


@cases(
    ("form", "read"),
    case("lines", "lines", lambda written: written.decode().split("\n")),
    case("csv", "csv", lambda written: written.decode().split(",")),
    case("json", "json", json.loads),
)
def test_the_list_has_the_form_that_is_asked_for_and_is_adopted_in_it(form: str, read: Any) -> None:
    ring = follow(follow(None, format=form), format=form)
    assert read(ring[KEYS]) == [entry["key"] for entry in json.loads(ring[RING])["keys"]]
    adopted = generator_of("keyRing", {"format": form}).adopted(boxed({KEYS: ring[KEYS]}))
    assert adopted is not None
    assert opened(adopted)[KEYS] == ring[KEYS]


@pytest.mark.parametrize("encoding", ["base64", "base64url", "hex", "fernet"])
def test_a_change_of_the_settings_keeps_the_ring_and_applies_with_the_next_rotation(encoding: str) -> None:
    before = follow(None)
    changed: dict[str, Any] = {"encoding": encoding, "format": "csv"}
    assert generator_of("keyRing", changed).accepts(boxed(before))
    after = json.loads(follow(before, **changed)[RING])
    assert [entry["id"] for entry in after["keys"][::2]] == [
        entry["id"] for entry in reversed(json.loads(before[RING])["keys"])
    ]
    assert after["encoding"] == encoding


def test_multi_fernet_reads_what_every_earlier_ring_has_written() -> None:
    settings: dict[str, Any] = {"encoding": "fernet"}
    ring, written = follow(None, **settings), []
    for _ in range(4):
        readers = MultiFernet([Fernet(key) for key in listed(ring)])
        written.append(readers.encrypt(b"data"))
        assert Fernet(ring[PRIMARY]).decrypt(written[-1]) == b"data"
        assert {readers.decrypt(one) for one in written} == {b"data"}
        following = follow(ring, **settings)
        # A pod that is not restarted yet reads what a restarted one writes.
        assert readers.decrypt(Fernet(following[PRIMARY]).encrypt(b"new")) == b"new"
        ring = following


@cases(
    ("settings", "message"),
    case("too few bytes", {"length": 16}, "write length: 22 or more"),
    case("no Fernet key", {"encoding": "fernet", "length": 64}, "a Fernet key has 32 bytes"),
    case("no time", {"retireAfter": "0s"}, "retireAfter"),
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(Stalled, match=message):
        generator_of("keyRing", settings)

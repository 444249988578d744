"""JSON Web Keys: what PyJWT signs and verifies with them, before, during and after an overlap."""

import functools
import json
from typing import Any

import jwt
import pytest
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from keyturn.core.value import Value
from keyturn.generators import GeneratorContext, _keys
from tests.support.machine_speed import least_cost, pace
from tests.unit.generators.generated import NOW, boxed, generator_of, made, made_by, opened

ALGORITHMS = ("ES256", "RS256", "EdDSA")
PRIVATE, PUBLIC = "private.jwks", "public.jwks"
MEMBERS = {
    "ES256": "kty crv x y d kid use alg",
    "RS256": "kty n e d p q dp dq qi kid use alg",
    "EdDSA": "kty crv x d kid use alg",
}
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@functools.cache
def example(algorithm: str) -> dict[str, bytes]:
    return made_by("jwks", algorithm=algorithm)


@functools.cache
def other(algorithm: str) -> dict[str, bytes]:
    return made_by("jwks", algorithm=algorithm)


def overlap(algorithm: str, fresh: dict[str, bytes], previous: dict[str, bytes]) -> dict[str, bytes]:
    generator = generator_of("jwks", {"algorithm": algorithm})
    return opened(generator.overlapping(boxed(fresh), boxed(previous)))


def accepts(algorithm: str, outputs: dict[str, bytes]) -> bool:
    return generator_of("jwks", {"algorithm": algorithm}).accepts(boxed(outputs))


def keys_of(jwks: bytes) -> list[dict[str, Any]]:
    keys = json.loads(jwks)["keys"]
    assert isinstance(keys, list)
    return keys


def names_of(jwks: bytes) -> list[str]:
    return [key["kid"] for key in keys_of(jwks)]


def signed(outputs: dict[str, bytes], algorithm: str) -> str:
    """Sign as a service does: with the first key of the private set."""
    key = jwt.PyJWKSet.from_json(outputs[PRIVATE].decode()).keys[0]
    return jwt.encode({"sub": "shop"}, key.key, algorithm, headers={"kid": key.key_id})


def verified(token: str, outputs: dict[str, bytes], algorithm: str) -> dict[str, Any]:
    """Verify as its users do: with the key of the public set that the token names."""
    name = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWKSet.from_json(outputs[PUBLIC].decode())[name]
    return jwt.decode(token, key.key, [algorithm])


def with_keys(private: list[dict[str, Any]], public: list[dict[str, Any]]) -> dict[str, bytes]:
    return {PRIVATE: json.dumps({"keys": private}).encode(), PUBLIC: json.dumps({"keys": public}).encode()}


def public_of(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in PRIVATE_MEMBERS}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_the_private_set_signs_the_public_one_verifies(algorithm: str) -> None:
    token = signed(example(algorithm), algorithm)
    assert verified(token, example(algorithm), algorithm) == {"sub": "shop"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_of_before_a_rotation_verify_while_the_overlap_lasts(algorithm: str) -> None:
    before, after = example(algorithm), other(algorithm)
    old = signed(before, algorithm)
    during = overlap(algorithm, after, before)
    new = signed(during, algorithm)
    tokens = [verified(token, during, algorithm) for token in (old, new)]
    assert tokens == [{"sub": "shop"}, {"sub": "shop"}]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_while_the_overlap_lasts_the_new_key_signs(algorithm: str) -> None:
    before, after = example(algorithm), other(algorithm)
    new = signed(overlap(algorithm, after, before), algorithm)
    assert verified(new, after, algorithm) == {"sub": "shop"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_when_the_overlap_is_over_old_tokens_do_not_verify(algorithm: str) -> None:
    old = signed(example(algorithm), algorithm)
    with pytest.raises(KeyError):
        verified(old, other(algorithm), algorithm)


def test_both_sets_have_the_new_key_first_and_the_old_one_behind_it() -> None:
    before, after = example("ES256"), other("ES256")
    during = overlap("ES256", after, before)
    expected = names_of(after[PUBLIC]) + names_of(before[PUBLIC])
    assert (names_of(during[PRIVATE]), names_of(during[PUBLIC])) == (expected, expected)


def test_the_keys_of_an_overlap_that_is_not_over_stay() -> None:
    first, second, third = (made_by("jwks") for _ in range(3))
    during = overlap("ES256", third, overlap("ES256", second, first))
    assert names_of(during[PUBLIC]) == [
        *names_of(third[PUBLIC]),
        *names_of(second[PUBLIC]),
        *names_of(first[PUBLIC]),
    ]


def test_a_set_that_is_turned_again_and_again_keeps_eight_keys() -> None:
    outputs = made_by("jwks")
    for _ in range(10):
        outputs = overlap("ES256", made_by("jwks"), outputs)
    assert (len(keys_of(outputs[PRIVATE])), len(keys_of(outputs[PUBLIC]))) == (8, 8)


def test_a_key_is_in_the_set_once() -> None:
    assert overlap("ES256", example("ES256"), example("ES256")) == example("ES256")


def test_old_tokens_verify_when_the_algorithm_has_changed() -> None:
    old = signed(example("ES256"), "ES256")
    during = overlap("EdDSA", example("EdDSA"), example("ES256"))
    assert verified(old, during, "ES256") == {"sub": "shop"}


def test_a_private_set_of_others_adds_nothing_to_the_public_one() -> None:
    shared = {"kid": "shared", "kty": "oct", "k": "canary"}
    during = overlap("ES256", example("ES256"), with_keys([shared], []))
    assert b"canary" not in during[PUBLIC]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_public_set_is_the_private_one_without_what_is_private(algorithm: str) -> None:
    private, public = keys_of(example(algorithm)[PRIVATE]), keys_of(example(algorithm)[PUBLIC])
    assert public == [public_of(key) for key in private]
    assert not PRIVATE_MEMBERS & public[0].keys()
    assert "d" in private[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_has_the_members_that_its_kind_needs(algorithm: str) -> None:
    key = keys_of(example(algorithm)[PRIVATE])[0]
    assert set(key) == set(MEMBERS[algorithm].split())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_key_says_what_it_is_for(algorithm: str) -> None:
    key = keys_of(example(algorithm)[PUBLIC])[0]
    assert (key["use"], key["alg"]) == ("sig", algorithm)


@pytest.mark.parametrize(("algorithm", "kind"), [("ES256", ECKey), ("RS256", RSAKey), ("EdDSA", OKPKey)])
def test_the_name_is_the_thumbprint_that_another_library_computes(algorithm: str, kind: Any) -> None:
    key = keys_of(example(algorithm)[PRIVATE])[0]
    assert key["kid"] == kind.import_key(key).thumbprint()


def test_the_example_of_rfc_7638_is_met() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV"
        "4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7"
        "d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF4"
        "4-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert _keys.thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig", "kid": "mine"})),
        ("EdDSA", OKPKey.generate_key("Ed25519", {"alg": "EdDSA", "use": "sig", "kid": "mine"})),
    ],
    ids=["ES256", "EdDSA"],
)
def test_a_set_that_another_library_made_is_accepted_with_its_own_names(algorithm: str, key: Any) -> None:
    sets = KeySet([key])
    outputs = {
        PRIVATE: json.dumps(sets.as_dict(private=True)).encode(),
        PUBLIC: json.dumps(sets.as_dict(private=False)).encode(),
    }
    assert accepts(algorithm, outputs)


def test_a_set_of_an_overlap_is_accepted() -> None:
    assert accepts("ES256", overlap("ES256", other("ES256"), example("ES256")))


@pytest.mark.parametrize("asked", ALGORITHMS)
def test_a_set_of_another_algorithm_is_not_accepted(asked: str) -> None:
    assert [one for one in ALGORITHMS if accepts(asked, example(one))] == [asked]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_public_set_that_lacks_a_key_or_has_another_is_not_accepted(algorithm: str) -> None:
    key, stranger = keys_of(example(algorithm)[PRIVATE])[0], keys_of(other(algorithm)[PRIVATE])[0]
    public = [[], [public_of(stranger)], [public_of(key), public_of(stranger)], [key]]
    assert not any(accepts(algorithm, with_keys([key], one)) for one in public)


@pytest.mark.parametrize(
    ("algorithm", "member"),
    [(algorithm, name) for algorithm, names in MEMBERS.items() for name in names.split()],
)
def test_a_key_with_a_spoilt_member_is_not_accepted(algorithm: str, member: str) -> None:
    key = keys_of(example(algorithm)[PRIVATE])[0]
    spoilt = [
        {name: value for name, value in key.items() if name != member},
        {**key, member: ""},
        {**key, member: 7},
        {**key, member: "AA" if member != "kid" else None},
    ]
    spoilt = [one for one in spoilt if not (member == "kid" and one.get("kid") == "")]
    assert not any(accepts(algorithm, with_keys([one], [public_of(one)])) for one in spoilt)


def test_a_member_that_we_do_not_write_is_not_accepted() -> None:
    key = keys_of(example("ES256")[PRIVATE])[0]
    odd = {**key, "key_ops": ["sign"]}
    assert not accepts("ES256", with_keys([odd], [public_of(odd)]))


@pytest.mark.parametrize(
    "document", [b"[]", b"{}", b'{"keys":[]}', b'{"keys":{}}', b'{"keys":["a"]}', b"7", b"{"]
)
def test_what_is_no_set_is_not_accepted(document: bytes) -> None:
    assert not accepts("ES256", {PRIVATE: document, PUBLIC: document})


def test_to_look_at_an_rsa_set_does_not_hold_others_up() -> None:
    outputs = boxed(example("RS256"))
    generator = generator_of("jwks", {"algorithm": "RS256"})
    assert least_cost(lambda: generator.accepts(outputs)) < 0.05 * pace()


def test_coordinates_keep_their_zeros_in_front() -> None:
    """One coordinate in 256 starts with a zero byte, which RFC 7518, section 6.2, wants written."""
    lengths = {len(keys_of(made(generator_of("jwks"))[PUBLIC].reveal())[0]["x"]) for _ in range(1000)}
    assert lengths == {43}


# The key that signs next is announced one rotation before


def turned(algorithm: str, before: dict[str, bytes]) -> dict[str, bytes]:
    given = GeneratorContext(NOW, previous=boxed(before), replaced=boxed(before))
    return opened(generator_of("jwks", {"algorithm": algorithm}).generate(given))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pods_that_are_not_restarted_yet_verify_what_restarted_ones_sign(algorithm: str) -> None:
    before = example(algorithm)
    for _ in range(3):
        after = turned(algorithm, before)
        new, old = signed(overlap(algorithm, after, before), algorithm), signed(before, algorithm)
        during = overlap(algorithm, after, before)
        read = [verified(new, before, algorithm), verified(new, during, algorithm)]
        assert [*read, verified(old, during, algorithm)] == [{"sub": "shop"}] * 3
        assert names_of(after[PRIVATE])[0] != names_of(before[PRIVATE])[0]
        before = after


def test_after_an_emergency_no_key_of_before_is_left() -> None:
    """An exposed set is the replaced one as well; its announced key is exposed with it."""
    before = example("ES256")
    given = GeneratorContext(NOW, replaced=boxed(before), is_exposed=True)
    after = opened(generator_of("jwks").generate(given))
    assert set(names_of(after[PRIVATE])).isdisjoint(names_of(before[PRIVATE]))


def test_the_second_key_of_a_set_that_announces_none_never_signs_again() -> None:
    """An adopted set, or one of an earlier version, can have an old key there."""
    new, old = (keys_of(one("ES256")[PRIVATE])[0] for one in (example, other))
    before = with_keys([new, old], [public_of(new), public_of(old)])
    assert set(names_of(turned("ES256", before)[PRIVATE])).isdisjoint({new["kid"], old["kid"]})


def test_a_key_of_another_algorithm_does_not_sign() -> None:
    after = turned("EdDSA", example("ES256"))
    assert {key["alg"] for key in keys_of(after[PRIVATE])} == {"EdDSA"}


def test_an_overlap_announces_the_key_of_the_new_set() -> None:
    before = example("ES256")
    during = overlap("ES256", after := turned("ES256", before), before)
    assert names_of(turned("ES256", during)[PRIVATE])[0] == names_of(after[PRIVATE])[1]


def test_the_public_set_does_not_name_the_next_key() -> None:
    assert json.loads(example("ES256")[PUBLIC]).keys() == {"keys"}


def test_nothing_is_said_about_a_value_that_cannot_be_read() -> None:
    assert _keys.jwks_in(Value(b"\xff")) == []

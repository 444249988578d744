"""RSA, elliptic-curve and Ed25519 keys, as openssl reads and writes them."""

import base64
import functools
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from keyturn.core.errors import Stalled
from keyturn.generators import Strength
from tests.support.machine_speed import least_cost, pace
from tests.unit.generators.generated import boxed, generator_of, made_by, run

Settings = dict[str, Any]

FORMS: Mapping[str, tuple[str, Settings, str, str]] = {
    "RSA": ("rsaKey", {}, "PRIVATE KEY", "Private-Key: (3072 bit, 2 primes)"),
    "RSA as PKCS #1": ("rsaKey", {"format": "PKCS1"}, "RSA PRIVATE KEY", "Private-Key: (3072 bit, 2 primes)"),
    "RSA of another size": ("rsaKey", {"bits": 3200}, "PRIVATE KEY", "Private-Key: (3200 bit, 2 primes)"),
    "P-256": ("ecKey", {}, "PRIVATE KEY", "NIST CURVE: P-256"),
    "P-384": ("ecKey", {"curve": "P-384"}, "PRIVATE KEY", "NIST CURVE: P-384"),
    "P-521": ("ecKey", {"curve": "P-521"}, "PRIVATE KEY", "NIST CURVE: P-521"),
    "Ed25519": ("ed25519Key", {}, "PRIVATE KEY", "ED25519 Private-Key:"),
}
# What openssl is told to make, and the recipe that it is for.
FOREIGN: Mapping[str, tuple[list[str], str, Settings]] = {
    "RSA": (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], "rsaKey", {}),
    "P-256": (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "ecKey", {}),
    "P-521": (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ecKey", {"curve": "P-521"}),
    "Ed25519": (["-algorithm", "ED25519"], "ed25519Key", {}),
}


@functools.cache
def example(form: str) -> dict[str, bytes]:
    kind, settings, _, _ = FORMS[form]
    return made_by(kind, **settings)


@functools.cache
def foreign(form: str) -> dict[str, bytes]:
    private = run("openssl", "genpkey", *FOREIGN[form][0])
    return {"privateKey": private, "publicKey": run("openssl", "pkey", "-pubout", stdin=private)}


def accepts(kind: str, settings: Settings, outputs: dict[str, bytes]) -> bool:
    return generator_of(kind, settings).accepts(boxed(outputs))


def written(key: PrivateKeyTypes, private: PrivateFormat = PrivateFormat.PKCS8) -> dict[str, bytes]:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {"privateKey": key.private_bytes(Encoding.PEM, private, NoEncryption()), "publicKey": public}


@pytest.mark.parametrize("form", FORMS)
def test_openssl_finds_no_fault_in_the_private_key(form: str) -> None:
    said = run("openssl", "pkey", "-check", "-noout", "-text", stdin=example(form)["privateKey"]).decode()
    assert "Key is valid" in said
    assert FORMS[form][3] in said


@pytest.mark.parametrize("form", FORMS)
def test_openssl_derives_the_same_public_key(form: str) -> None:
    derived = run("openssl", "pkey", "-pubout", stdin=example(form)["privateKey"])
    assert derived == example(form)["publicKey"]


@pytest.mark.parametrize("form", FORMS)
def test_the_private_key_is_in_the_format_asked_for(form: str) -> None:
    lines = example(form)["privateKey"].decode().splitlines()
    label = FORMS[form][2]
    assert (lines[0], lines[-1]) == (f"-----BEGIN {label}-----", f"-----END {label}-----")


@pytest.mark.parametrize("form", FOREIGN)
def test_a_key_that_openssl_made_is_accepted(form: str) -> None:
    _, kind, settings = FOREIGN[form]
    assert accepts(kind, settings, foreign(form))


@pytest.mark.parametrize("form", FORMS)
def test_blanks_around_the_blocks_do_not_matter(form: str) -> None:
    kind, settings, _, _ = FORMS[form]
    loose = {name: b"\n" + content.replace(b"\n", b"\r\n") for name, content in example(form).items()}
    assert accepts(kind, settings, loose)


@pytest.mark.parametrize("asked", FORMS)
def test_a_key_of_another_kind_size_or_format_is_not_accepted(asked: str) -> None:
    kind, settings, _, _ = FORMS[asked]
    assert [form for form in FORMS if accepts(kind, settings, example(form))] == [asked]


def test_a_key_under_a_password_is_not_accepted() -> None:
    locked = run(
        *("openssl", "pkcs8", "-topk8", "-passout", "pass:canary"), stdin=example("P-256")["privateKey"]
    )
    assert b"ENCRYPTED" in locked
    assert not accepts("ecKey", {}, {**example("P-256"), "privateKey": locked})


def test_a_second_block_is_not_accepted() -> None:
    outputs = example("P-256")
    assert not accepts("ecKey", {}, {**outputs, "privateKey": outputs["privateKey"] * 2})


def test_a_key_in_the_older_form_of_openssl_is_not_accepted_as_pkcs_8() -> None:
    older = run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout")
    public = run("openssl", "pkey", "-pubout", stdin=older)
    assert not accepts("ecKey", {}, {"privateKey": older, "publicKey": public})


def test_a_curve_of_others_is_not_accepted() -> None:
    assert not accepts("ecKey", {}, written(ec.generate_private_key(ec.SECP256K1())))


def test_a_small_exponent_is_not_accepted() -> None:
    assert not accepts("rsaKey", {}, written(rsa.generate_private_key(3, 3072)))


@pytest.mark.parametrize("part", ["d", "dmp1", "dmq1", "iqmp"])
def test_an_rsa_key_of_parts_that_do_not_belong_together_is_not_accepted(part: str) -> None:
    key = load_pem_private_key(example("RSA")["privateKey"], None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    parts = {name: getattr(numbers, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    parts[part] += 2
    spoilt = rsa.RSAPrivateNumbers(**parts, public_numbers=numbers.public_numbers)
    outputs = {**example("RSA"), **private_part(spoilt.private_key(unsafe_skip_rsa_key_validation=True))}
    assert not accepts("rsaKey", {}, outputs)


def test_a_private_key_with_the_point_of_another_is_not_accepted() -> None:
    keys = [
        load_pem_private_key(example("P-256")["privateKey"], None),
        ec.generate_private_key(ec.SECP256R1()),
    ]
    own, other = (
        key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in keys
    )
    inside = keys[0].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    spoilt = base64.encodebytes(inside.replace(own, other))
    pem = b"-----BEGIN PRIVATE KEY-----\n" + spoilt + b"-----END PRIVATE KEY-----\n"
    assert not accepts("ecKey", {}, {**example("P-256"), "privateKey": pem})


def private_part(key: PrivateKeyTypes) -> dict[str, bytes]:
    return {"privateKey": written(key)["privateKey"]}


def test_to_look_at_a_large_rsa_key_does_not_hold_others_up() -> None:
    """A library looks for primes for 0.2 s at this size, and for 7 s at 8192 bits."""
    outputs, generator = boxed(example("RSA")), generator_of("rsaKey")
    assert generator.accepts(outputs)
    assert least_cost(lambda: generator.accepts(outputs)) < 0.05 * pace()


@pytest.mark.parametrize(
    ("kind", "settings", "bits"),
    [
        ("rsaKey", {}, 128),
        ("rsaKey", {"bits": 4096}, 128),
        ("rsaKey", {"bits": 7678}, 128),
        ("rsaKey", {"bits": 7680}, 192),
        ("rsaKey", {"bits": 8192}, 192),
        ("ecKey", {}, 128),
        ("ecKey", {"curve": "P-384"}, 192),
        ("ecKey", {"curve": "P-521"}, 256),
        ("ed25519Key", {}, 128),
    ],
    ids=str,
)
def test_the_strength_is_that_of_nist(kind: str, settings: Settings, bits: int) -> None:
    strength = generator_of(kind, settings).strength()
    assert strength is not None
    assert strength.bits == bits


@pytest.mark.parametrize("form", FORMS)
def test_the_written_key_is_as_long_as_a_minimum_may_count_on(form: str) -> None:
    kind, settings, _, _ = FORMS[form]
    strength = generator_of(kind, settings).strength()
    assert isinstance(strength, Strength)
    assert 32 <= strength.length <= len(example(form)["privateKey"])


@pytest.mark.parametrize(
    ("bits", "strength", "length"), [(3070, 112, 2302), (2048, 112, 1536), (2046, 0, 1534), (0, 0, 0)]
)
def test_a_small_rsa_key_is_refused_with_what_to_write(bits: int, strength: int, length: int) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("rsaKey", {"bits": bits})
    gives = f"rsaKey gives {length} characters and {strength} bits of entropy"
    assert (refusal.value.reason, refusal.value.message) == (
        "TooWeak",
        f"{gives}, at least 32 and 128 are needed; write bits: 3072 or more",
    )


def test_a_key_that_takes_hours_is_refused() -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("rsaKey", {"bits": 8193})
    assert refusal.value.message == "rsaKey.bits: input should be less than or equal to 8192"


@pytest.mark.parametrize(
    ("kind", "settings", "place"),
    [
        ("rsaKey", {"bits": 3073}, "rsaKey.bits"),
        ("certificate", {"commonName": "a", "key": {"rsa": {"bits": 3073}}}, "certificate.key.rsa.bits"),
    ],
    ids=["rsaKey", "certificate"],
)
def test_a_size_that_no_key_has_is_refused(kind: str, settings: Settings, place: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of(kind, settings)
    assert refusal.value.message == f"{place}: an RSA key has an even number of bits; write one, such as 4096"


def test_only_rsa_keys_take_long() -> None:
    example("P-256")
    slow = [kind for kind in ("rsaKey", "ecKey", "ed25519Key") if generator_of(kind).is_slow]
    assert slow == ["rsaKey"]

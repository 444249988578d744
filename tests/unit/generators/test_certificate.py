"""Certificates, as openssl verifies them, and as both sides of a TLS connection use them."""

from __future__ import annotations

import functools
import ssl
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example as with_example
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.errors import Stalled
from keyturn.core.state.records import Validity
from keyturn.generators import GeneratorContext
from tests.support.cases import case, cases
from tests.unit.generators.authorities import Profile, held
from tests.unit.generators.generated import NOW, boxed, generator_of, opened, run

Settings = dict[str, Any]
Held = dict[str, bytes]

CHAIN, KEY, ROOTS = "tls.crt", "tls.key", "ca.crt"
CA: Settings = {"isCA": True, "commonName": "Shop CA", "duration": "3650d"}
BY_CA: Settings = {"issuer": {"secretRef": {"name": "shop-ca"}}}
SERVER: Settings = {"dnsNames": ["orders.shop.svc", "*.shop.test"], "ipAddresses": ["127.0.0.1", "fd00::1"]}


def made(settings: Settings, issuer: Held | None = None, now: datetime | None = None) -> Held:
    """Make a certificate, by the clock that openssl looks at unless it is to be another."""
    now = datetime.now(UTC) if now is None else now
    generator = generator_of("certificate", {"commonName": None, "dnsNames": None, **settings})
    return opened(generator.generate(GeneratorContext(now, issuer=None if issuer is None else boxed(issuer))))


def accepts(settings: Settings, outputs: Held) -> bool:
    return generator_of("certificate", {"commonName": None, "dnsNames": None, **settings}).accepts(
        boxed(outputs)
    )


def life(settings: Settings, outputs: Held) -> Validity:
    found = generator_of("certificate", settings).life(boxed(outputs))
    assert found is not None
    return found


@functools.cache
def root() -> Held:
    return made(CA)


@functools.cache
def intermediate() -> Held:
    return made({**CA, **BY_CA, "commonName": "Shop intermediate CA", "duration": "365d"}, root())


@functools.cache
def leaf() -> Held:
    return made({**SERVER, **BY_CA}, root())


@functools.cache
def deep_leaf() -> Held:
    return made({**SERVER, **BY_CA}, intermediate())


@functools.cache
def self_signed() -> Held:
    return made(SERVER)


# What is made here, and how it is asked for.
MADE: Mapping[str, Callable[[], Held]] = {
    "a CA": root,
    "an intermediate CA": intermediate,
    "one by a CA": leaf,
    "one by an intermediate CA": deep_leaf,
    "one by itself": self_signed,
}


def saved(held: Held, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in held.items():
        (folder / name).write_bytes(content)
    return folder


def certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def text_of(held: Held) -> str:
    return run("openssl", "x509", "-noout", "-text", stdin=held[CHAIN]).decode()


def verify(held: Held, folder: Path, *arguments: str) -> None:
    """Let openssl verify what a server sends by what a client trusts, as strictly as it can."""
    where = saved(held, folder)
    files = ("-CAfile", ROOTS, "-untrusted", CHAIN, CHAIN)
    run("openssl", "verify", "-x509_strict", "-no-CApath", *arguments, *files, cwd=where)


# By other programs


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_openssl_verifies_it(make: Callable[[], Held], tmp_path: Path) -> None:
    verify(make(), tmp_path)


@pytest.mark.parametrize("name", ["orders.shop.svc", "a.shop.test"])
@pytest.mark.parametrize("make", [leaf, deep_leaf, self_signed], ids=["leaf", "deep leaf", "self-signed"])
def test_openssl_verifies_it_for_its_names(make: Callable[[], Held], name: str, tmp_path: Path) -> None:
    verify(make(), tmp_path, "-purpose", "sslserver", "-verify_hostname", name)


@pytest.mark.parametrize("address", ["127.0.0.1", "fd00::1"])
def test_openssl_verifies_it_for_its_addresses(address: str, tmp_path: Path) -> None:
    verify(leaf(), tmp_path, "-purpose", "sslserver", "-verify_ip", address)


@pytest.mark.parametrize(
    "key",
    [
        {"rsa": {}},
        {"rsa": {"bits": 4096}},
        {"ec": {"curve": "P-384"}},
        {"ec": {"curve": "P-521"}},
        {"ed25519": {}},
    ],
    ids=str,
)
def test_openssl_verifies_every_kind_of_key_on_both_sides(key: Settings, tmp_path: Path) -> None:
    authority = made({**CA, "key": key})
    signed = made({**SERVER, **BY_CA, "key": key}, authority)
    verify(authority, tmp_path / "ca")
    verify(signed, tmp_path / "leaf")
    assert accepts({**SERVER, **BY_CA, "key": key}, signed)


def test_a_ca_whose_extensions_are_not_critical_signs_for_us(tmp_path: Path) -> None:
    """So are those of some old authorities, which every client but a browser takes."""
    authority = openssl_ca(tmp_path, "rsa:3072", "-addext", "basicConstraints=CA:TRUE")
    signed = made({**SERVER, **BY_CA}, authority)
    where = saved(signed, tmp_path / "leaf")
    run("openssl", "verify", "-no-CApath", "-purpose", "sslserver", "-CAfile", ROOTS, CHAIN, cwd=where)
    assert accepts({**SERVER, **BY_CA}, signed)


@pytest.mark.parametrize("identifier", ["none", "01:02:03"], ids=["without", "of its own making"])
def test_the_identifier_of_a_foreign_ca_is_taken_as_it_is(identifier: str, tmp_path: Path) -> None:
    named = (*("-addext", f"subjectKeyIdentifier={identifier}"), *("-addext", "authorityKeyIdentifier=none"))
    authority = openssl_ca(tmp_path, "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *named)
    signed = made({**SERVER, **BY_CA}, authority)
    where = saved(signed, tmp_path / "leaf")
    run("openssl", "verify", "-no-CApath", "-purpose", "sslserver", "-CAfile", ROOTS, CHAIN, cwd=where)
    assert ("X509v3 Authority Key Identifier: \n                01:02:03\n" in text_of(signed)) == (
        identifier == "01:02:03"
    )


def openssl_ca(folder: Path, key: str, *arguments: str) -> Held:
    subject = ("-subj", "/CN=Foreign CA", "-days", "90")
    made_ = ("-keyout", KEY, "-out", CHAIN)
    run("openssl", "req", "-x509", "-noenc", "-newkey", key, *arguments, *subject, *made_, cwd=folder)
    return {CHAIN: (folder / CHAIN).read_bytes(), KEY: (folder / KEY).read_bytes()}


def test_both_sides_can_ask_each_other_for_a_certificate(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(server, leaf(), tmp_path / "server")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=leaf()[ROOTS].decode())
    client = ssl.create_default_context(cadata=leaf()[ROOTS].decode())
    load(client, made({"commonName": "cart", "usages": ["clientAuth"], **BY_CA}, root()), tmp_path / "client")
    assert talk(server, client) == b"hello"


def load(context: ssl.SSLContext, held: Held, folder: Path) -> None:
    saved(held, folder)
    context.load_cert_chain(folder / CHAIN, folder / KEY)


def talk(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    """Shake hands in memory, send a greeting and return what the server reads."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_hostname="orders.shop.svc")
    far = server.wrap_bio(up, down, server_side=True)
    waiting = [near, far, near, far]
    for side in waiting:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    near.write(b"hello")
    return far.read()


# What it says


def test_the_chain_has_the_certificate_first_and_no_root() -> None:
    chain, (anchor,) = certificates(deep_leaf()[CHAIN]), certificates(deep_leaf()[ROOTS])
    assert [one.subject.rfc4514_string() for one in chain] == [
        "CN=orders.shop.svc",
        "CN=Shop intermediate CA",
    ]
    assert anchor.subject.rfc4514_string() == "CN=Shop CA"


def test_a_ca_that_is_its_own_root_is_not_in_the_chain() -> None:
    assert (len(certificates(leaf()[CHAIN])), leaf()[ROOTS]) == (1, root()[CHAIN])


def test_one_that_signs_itself_is_its_own_root() -> None:
    assert self_signed()[CHAIN] == self_signed()[ROOTS]


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"commonName": "Shop, Orders"}, 'CN = "Shop, Orders"'),
        ({"commonName": "Söhne"}, "CN = S\\C3\\B6hne"),
        ({"commonName": "ü" * 32}, "CN = " + "\\C3\\BC" * 32),
        ({"commonName": "cart", "dnsNames": ["a.test"]}, "CN = cart"),
        ({"dnsNames": ["a.test", "b.test"], "ipAddresses": ["10.0.0.1"]}, "CN = a.test"),
        ({"ipAddresses": ["10.0.0.1"]}, "CN = 10.0.0.1"),
    ],
    ids=["a comma", "an umlaut", "64 bytes", "both", "host names", "an address"],
)
def test_the_subject_is_the_common_name_or_the_first_other_one(settings: Settings, subject: str) -> None:
    assert f"Subject: {subject}\n" in text_of(made(settings))


def test_the_names_are_those_asked_for_and_the_common_name_is_none_of_them() -> None:
    held = made({"commonName": "cart.test", "dnsNames": ["a.test"], "ipAddresses": ["10.0.0.1"]})
    assert "DNS:a.test, IP Address:10.0.0.1\n" in text_of(held)


@pytest.mark.parametrize(
    ("settings", "key_usage", "purposes"),
    [
        ({}, "Digital Signature", "TLS Web Server Authentication, TLS Web Client Authentication"),
        ({"key": {"rsa": {}}}, "Digital Signature, Key Encipherment", "TLS Web Server Authentication"),
        ({"usages": ["clientAuth"]}, "Digital Signature", "TLS Web Client Authentication\n"),
        (
            {"usages": ["codeSigning", "emailProtection"]},
            "Digital Signature",
            "Code Signing, E-mail Protection",
        ),
    ],
    ids=["by default", "an RSA key", "clients", "code and mail"],
)
def test_the_usages_are_those_asked_for(settings: Settings, key_usage: str, purposes: str) -> None:
    text = text_of(made({"commonName": "a", **settings}))
    assert f"Key Usage: critical\n                {key_usage}\n" in text
    assert purposes in text
    assert "CA:FALSE" in text


def test_a_ca_signs_certificates_and_lists_of_revoked_ones_and_nothing_else() -> None:
    text = text_of(root())
    assert "Basic Constraints: critical\n                CA:TRUE\n" in text
    assert "Key Usage: critical\n                Certificate Sign, CRL Sign\n" in text
    assert "Extended Key Usage" not in text


def test_every_certificate_has_a_number_of_its_own() -> None:
    numbers = {certificates(made(SERVER)[CHAIN])[0].serial_number for _ in range(50)}
    assert len(numbers) == 50
    assert min(numbers) > 2**64


def test_it_is_valid_from_a_minute_ago_for_as_long_as_asked_for() -> None:
    (found,) = certificates(made({**SERVER, "duration": "36h"}, now=NOW)[CHAIN])
    second = NOW.replace(microsecond=0)
    validity = (found.not_valid_before_utc, found.not_valid_after_utc)
    assert validity == (second - timedelta(minutes=1), second + timedelta(hours=36))


def test_it_never_outlives_its_issuer() -> None:
    authority = made({**CA, "duration": "10d"}, now=NOW)
    (found,) = certificates(made({**SERVER, **BY_CA, "duration": "90d"}, authority, NOW)[CHAIN])
    assert found.not_valid_after_utc == certificates(authority[CHAIN])[0].not_valid_after_utc


def test_it_is_never_older_than_its_issuer() -> None:
    authority = made(CA, now=NOW)
    (found,) = certificates(made({**SERVER, **BY_CA}, authority, NOW - timedelta(seconds=30))[CHAIN])
    assert found.not_valid_before_utc == certificates(authority[CHAIN])[0].not_valid_before_utc


# Its life


@pytest.mark.parametrize(
    ("settings", "before"),
    [
        ({}, timedelta(days=30)),
        ({"duration": "30h"}, timedelta(hours=10)),
        ({"renewBefore": "20d"}, timedelta(days=20)),
        ({"duration": "1h", "renewBefore": "3590s"}, timedelta(seconds=3590)),
    ],
    ids=["by default", "another duration", "as asked for", "at once"],
)
def test_it_is_renewed_before_its_end(settings: Settings, before: timedelta) -> None:
    found = life({**SERVER, **settings}, made({**SERVER, **settings}, now=NOW))
    assert found.end - found.renew == before


def test_one_that_its_issuer_cuts_short_is_renewed_when_a_third_is_left() -> None:
    settings = {**SERVER, **BY_CA, "duration": "90d", "renewBefore": "30d"}
    authority = made({**CA, "duration": "9d"}, now=NOW)
    found = life(settings, made(settings, authority, NOW))
    assert found.end - found.renew == timedelta(days=3)


@given(
    duration=st.integers(3600, 10**9),
    renew_before=st.none() | st.integers(1, 10**9),
    left=st.integers(60, 10**9),
)
@with_example(duration=7776000, renew_before=2592000, left=60)
def test_a_fresh_one_is_never_due_at_once(duration: int, renew_before: int | None, left: int) -> None:
    """Else it would be made again and again, and every workload restarted each time."""
    settings = {**SERVER, **BY_CA, "duration": f"{duration}s"}
    if renew_before is not None and renew_before <= duration - 10:
        settings["renewBefore"] = f"{renew_before}s"
    now = NOW.replace(microsecond=0)
    authority = made({**CA, "duration": f"{left + 3600}s"}, now=now - timedelta(hours=1))
    found = life(settings, made(settings, authority, now))
    assert now < found.renew < found.end <= now + timedelta(seconds=left)


# Overlap


def overlap(settings: Settings, fresh: Held, previous: Held) -> Held:
    return opened(generator_of("certificate", settings).overlapping(boxed(fresh), boxed(previous)))


def test_nothing_overlaps_where_the_root_has_stayed() -> None:
    fresh = made({**SERVER, **BY_CA}, root())
    assert overlap({**SERVER, **BY_CA}, fresh, leaf()) == fresh


def test_the_root_before_stands_behind_the_new_one() -> None:
    fresh = made(SERVER)
    during = overlap(SERVER, fresh, self_signed())
    assert during == {**fresh, ROOTS: fresh[ROOTS] + self_signed()[ROOTS]}


def test_who_turns_again_and_again_does_not_pile_up_roots() -> None:
    held = made(SERVER)
    for _ in range(10):
        held = overlap(SERVER, made(SERVER), held)
    assert len(certificates(held[ROOTS])) == 8


def test_a_ca_whose_overlap_lasts_signs_with_its_new_root_alone() -> None:
    during = overlap(CA, made(CA), root())
    assert len(certificates(during[ROOTS])) == 2
    assert made({**SERVER, **BY_CA}, during)[ROOTS] == during[CHAIN]


# Earlier roots of a CA, which has signed certificates


def renewed(previous: Held, now: datetime | None = None, *, exposed: bool = False, **others: Any) -> Held:
    generator = generator_of("certificate", {"dnsNames": None, **CA, **others})
    issuer = boxed(root()) if "issuer" in others else None
    trusted = None if exposed else boxed(previous)
    given = GeneratorContext(
        now or datetime.now(UTC), previous=boxed(previous), trusted=trusted, issuer=issuer
    )
    return opened(generator.generate(given))


def test_a_renewed_ca_that_trusts_earlier_roots_is_accepted_and_signs_with_the_new_one() -> None:
    fresh = renewed(renewed(root()))
    assert len(certificates(fresh[ROOTS])) == 3
    generator = generator_of("certificate", {"dnsNames": None, **CA})
    assert generator.accepts(boxed(fresh))
    assert generator.overlapping(boxed(fresh), boxed(root())) == boxed(fresh), (
        "the end of the overlap keeps it"
    )
    assert made({**SERVER, **BY_CA}, fresh)[ROOTS] == fresh[CHAIN]


def test_an_intermediate_ca_trusts_earlier_roots_as_well() -> None:
    other = made(CA)
    before = made({**CA, **BY_CA, "commonName": "Shop intermediate CA"}, other)
    fresh = renewed(before, **BY_CA, commonName="Shop intermediate CA")
    assert fresh[ROOTS] == root()[ROOTS] + other[ROOTS]


def test_an_earlier_root_stays_until_it_ends() -> None:
    end = certificates(root()[ROOTS])[0].not_valid_after_utc
    assert len(certificates(renewed(root(), end - timedelta(seconds=1))[ROOTS])) == 2
    assert len(certificates(renewed(root(), end)[ROOTS])) == 1


def test_an_exposed_root_and_one_of_no_ca_are_not_kept() -> None:
    assert len(certificates(renewed(root(), exposed=True)[ROOTS])) == 1
    assert len(certificates(renewed(self_signed())[ROOTS])) == 1


def test_a_ca_that_is_renewed_again_and_again_does_not_pile_up_roots() -> None:
    held = root()
    for _ in range(10):
        held = renewed(held)
    assert len(certificates(held[ROOTS])) == 8


@pytest.mark.parametrize(("settings", "keeps"), [(CA, True), (SERVER, False), ({**SERVER, **BY_CA}, False)])
def test_only_a_ca_keeps_the_trust_in_earlier_roots(settings: Settings, *, keeps: bool) -> None:
    generator = generator_of("certificate", {"commonName": None, "dnsNames": None, **settings})
    assert generator.keeps_trust is keeps


# What is accepted


@cases(
    ("settings", "make"),
    case("a CA", CA, root),
    case(
        "an intermediate CA",
        {**CA, **BY_CA, "commonName": "Shop intermediate CA", "duration": "365d"},
        intermediate,
    ),
    case("by a CA", {**SERVER, **BY_CA}, leaf),
    case("by an intermediate CA", {**SERVER, **BY_CA}, deep_leaf),
    case("by itself", SERVER, self_signed),
    case("renewed at another time", {**SERVER, "renewBefore": "1d"}, self_signed),
    case("its subject named", {**SERVER, "commonName": "orders.shop.svc"}, self_signed),
    case("its usages named", {**SERVER, "usages": ["clientAuth", "serverAuth"]}, self_signed),
    case(
        "its addresses in another order and spelling",
        {**SERVER, "ipAddresses": ["fd00:0::1", "127.0.0.1"]},
        self_signed,
    ),
    case("its issuer named", {**SERVER, "issuer": {"selfSigned": {}}}, self_signed),
    case("its key named", {**SERVER, "key": {"ec": {}}}, self_signed),
    case("by a CA of another Secret", {**SERVER, "issuer": {"secretRef": {"name": "another-ca"}}}, leaf),
)
def test_what_the_settings_could_have_made_is_accepted(settings: Settings, make: Callable[[], Held]) -> None:
    assert accepts(settings, make())


@pytest.mark.parametrize(
    "changed",
    [
        {"commonName": "other"},
        {"dnsNames": ["orders.shop.svc"]},
        {"dnsNames": ["orders.shop.svc", "*.shop.test", "b.test"]},
        {"ipAddresses": ["127.0.0.1"]},
        {"ipAddresses": None},
        {"usages": ["serverAuth"]},
        {"duration": "89d"},
        {"duration": "91d"},
        {"key": {"ec": {"curve": "P-384"}}},
        {"key": {"rsa": {}}},
        {"key": {"ed25519": {}}},
        {"isCA": True, "commonName": "orders.shop.svc"},
        BY_CA,
    ],
    ids=str,
)
def test_other_settings_ask_for_a_new_certificate(changed: Settings) -> None:
    assert not accepts({**SERVER, **changed}, self_signed())


def test_one_by_a_ca_is_not_accepted_where_it_should_sign_itself() -> None:
    assert not accepts(SERVER, leaf())


def test_one_that_its_issuer_cut_short_is_accepted_and_another_short_one_is_not() -> None:
    authority = made({**CA, "duration": "9d"})
    cut_short = made({**SERVER, **BY_CA, "duration": "90d"}, authority)
    short = made({**SERVER, **BY_CA, "duration": "8d"}, authority)
    settings = {**SERVER, **BY_CA, "duration": "90d"}
    assert (accepts(settings, cut_short), accepts(settings, short)) == (True, False)


@cases(
    "spoil",
    case("the key of another", lambda held: {**held, KEY: root()[KEY]}),
    case("the root of another", lambda held: {**held, ROOTS: self_signed()[ROOTS]}),
    case("another certificate", lambda held: {**held, CHAIN: leaf()[CHAIN]}),
    case(
        "the chain upside down",
        lambda held: {**held, CHAIN: certificate_text(held[CHAIN], 1) + certificate_text(held[CHAIN], 0)},
    ),
    case("a gap in the chain", lambda held: {**held, CHAIN: certificate_text(held[CHAIN], 0)}),
    case("a certificate twice", lambda held: {**held, CHAIN: held[CHAIN] + certificate_text(held[CHAIN], 1)}),
    case("the key behind the chain", lambda held: {**held, CHAIN: held[CHAIN] + held[KEY]}),
    case(
        "a certificate that nobody can read",
        lambda held: {**held, CHAIN: held[CHAIN].replace(b"MII", b"AAA", 1)},
    ),
)
def test_parts_that_do_not_belong_together_are_not_accepted(spoil: Callable[[Held], Held]) -> None:
    assert not accepts({**SERVER, **BY_CA}, spoil(deep_leaf()))


def test_one_that_signs_itself_is_accepted_alone_only() -> None:
    assert not accepts(SERVER, {**self_signed(), CHAIN: self_signed()[CHAIN] * 2})


def certificate_text(pem: bytes, place: int) -> bytes:
    return pem.split(b"-----END CERTIFICATE-----\n")[place] + b"-----END CERTIFICATE-----\n"


def test_a_bundle_of_roots_is_accepted() -> None:
    assert accepts({**SERVER, **BY_CA}, {**leaf(), ROOTS: self_signed()[ROOTS] + leaf()[ROOTS]})


@pytest.mark.parametrize("form", ["pkcs8", "ec"])
def test_a_ca_that_openssl_made_is_accepted(form: str, tmp_path: Path) -> None:
    found = openssl_ca(tmp_path, "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    key = found[KEY] if form == "pkcs8" else run("openssl", "ec", stdin=found[KEY])
    settings = {"isCA": True, "commonName": "Foreign CA", "duration": "90d"}
    assert accepts(settings, {**found, KEY: key, ROOTS: found[CHAIN]})


def test_a_certificate_that_openssl_made_for_every_usage_is_accepted(tmp_path: Path) -> None:
    where = saved(root(), tmp_path)
    key = run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    (where / "key").write_bytes(key)
    run("openssl", "req", "-new", "-key", "key", "-subj", "/", "-out", "request", cwd=where)
    (where / "extensions").write_text("subjectAltName=critical,DNS:a.test\n")
    by_ca = ("-CA", CHAIN, "-CAkey", KEY, "-days", "90", "-extfile", "extensions")
    certificate = run("openssl", "x509", "-req", "-in", "request", *by_ca, cwd=where)
    found = {CHAIN: certificate, KEY: key, ROOTS: root()[CHAIN]}
    named = {**BY_CA, "dnsNames": ["a.test"]}
    assert (accepts(named, found), accepts({**named, "usages": ["serverAuth"]}, found)) == (True, False)


# Who may sign


def refusal(issuer: Held, settings: Settings | None = None, now: datetime | None = None) -> str:
    with pytest.raises(Stalled) as refused:
        made({**SERVER, **BY_CA, **(settings or {})}, issuer, now)
    assert refused.value.reason == "InvalidIssuer"
    return refused.value.message.removeprefix("the Secret 'shop-ca' that signs the certificate ")


@cases(
    "issuer",
    case("nothing", {}),
    case("no certificate", {KEY: b"x"}),
    case("anything", {CHAIN: b"canary", KEY: b"canary"}),
    case("another key", {**root(), KEY: self_signed()[KEY]}),
    case("no CA", self_signed()),
    case("no root", {name: content for name, content in intermediate().items() if name != ROOTS}),
    case("another root", {**intermediate(), ROOTS: self_signed()[ROOTS]}),
    case("no text", {**intermediate(), ROOTS: b"canary"}),
)
def test_a_secret_that_cannot_sign_is_reported_without_being_quoted(issuer: Held) -> None:
    assert "canary" not in refusal(issuer)


def test_a_ca_that_has_ended_or_is_about_to_does_not_sign() -> None:
    authority = made({**CA, "duration": "1h"}, now=NOW)
    for after in (timedelta(minutes=59, seconds=1), timedelta(hours=2)):
        assert "2026-11-24 13:30 UTC" in refusal(authority, now=NOW + after)


def test_a_ca_signs_until_a_minute_before_its_end() -> None:
    authority = made({**CA, "duration": "1h"}, now=NOW)
    assert made({**SERVER, **BY_CA}, authority, NOW + timedelta(minutes=58, seconds=59))


def test_a_ca_that_may_not_use_its_key_for_certificates_does_not_sign(tmp_path: Path) -> None:
    authority = openssl_ca(tmp_path, "rsa:3072", "-addext", "keyUsage=critical,digitalSignature")
    assert refusal(authority).startswith("holds no CA")


def test_a_ca_of_the_future_does_not_sign() -> None:
    authority = made(CA, now=NOW)
    assert "2026-11-24 12:29 UTC" in refusal(authority, now=NOW - timedelta(hours=1))


def test_a_ca_that_may_sign_leaves_only_signs_no_ca(tmp_path: Path) -> None:
    limit = ("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0")
    authority = openssl_ca(tmp_path, "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *limit)
    assert "isCA" in refusal(authority, {"isCA": True, "commonName": "Shop CA"})
    assert made({**SERVER, **BY_CA}, authority)


def test_a_root_in_the_chain_of_its_intermediate_is_found() -> None:
    authority = {CHAIN: intermediate()[CHAIN] + root()[CHAIN], KEY: intermediate()[KEY]}
    signed = made({**SERVER, **BY_CA}, authority)
    assert (signed[ROOTS], len(certificates(signed[CHAIN]))) == (root()[CHAIN], 2)


def test_two_intermediates_are_both_in_the_chain(tmp_path: Path) -> None:
    lower = made({**CA, **BY_CA, "commonName": "Shop lower CA", "duration": "30d"}, intermediate())
    signed = made({**SERVER, **BY_CA, "duration": "10d"}, lower)
    verify(signed, tmp_path)
    issuers = [one.issuer for one in certificates(signed[CHAIN])]
    subjects = [one.subject for one in certificates(signed[CHAIN])]
    assert (len(subjects), subjects[1:]) == (3, issuers[:-1])


def test_it_asks_for_the_secret_that_signs_it_and_for_none_where_it_signs_itself() -> None:
    names = [generator_of("certificate", {**SERVER, **settings}).issuer_secret for settings in (BY_CA, {})]
    assert names == ["shop-ca", None]


# Which chains clients accept


def usages(*names: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage(names)


ROOT = Profile()
ENDED = ROOT.but(ends=timedelta(days=-1))
FOR_CLIENTS = ROOT.but(extensions=(usages(ExtendedKeyUsageOID.CLIENT_AUTH),))
FOR_ALL = ROOT.but(extensions=(usages(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),))
OTHER_NAMES = ROOT.but(extensions=(x509.NameConstraints([x509.DNSName("other.test")], None),))
NOT_THE_SHOP = ROOT.but(extensions=(x509.NameConstraints(None, [x509.DNSName("shop.test")]),))
THE_SHOP = ROOT.but(extensions=(x509.NameConstraints([x509.DNSName("shop.test")], None),))

SHOP: Settings = {"dnsNames": ["a.shop.test"], **BY_CA}
SHOP_CA: Settings = {**CA, **BY_CA, "duration": "90d"}
FOREIGN_SHOP = Profile(
    "a.shop.test",
    timedelta(days=90),
    timedelta(),
    is_ca=False,
    extensions=(
        x509.SubjectAlternativeName([x509.DNSName("a.shop.test")]),
        usages(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    ),
)
FOREIGN_CA = Profile("Shop CA", timedelta(days=90), timedelta())

Profiles = tuple[Profile, ...]
REJECTED: Mapping[str, Profiles] = {
    "an expired root": (ENDED, ROOT),
    "an expired intermediate": (ROOT, ENDED, ROOT),
    "an intermediate that is no CA": (ROOT, ROOT.but(is_ca=False), ROOT),
    "a root that permits no intermediate": (ROOT.but(path_length=0), ROOT),
    "an issuer for clients": (FOR_CLIENTS,),
    "a root for clients": (FOR_CLIENTS, ROOT),
}
REJECTED_BY_NAME: Mapping[str, Profiles] = {
    "an issuer for other names": (OTHER_NAMES,),
    "a root that excludes the name": (NOT_THE_SHOP, ROOT),
}
EVERY_REJECTED = {**REJECTED, **REJECTED_BY_NAME}
TOO_DEEP = (ROOT.but(path_length=1), ROOT)
"""A root that permits one CA below it."""


def on_ed25519(profiles: Profiles) -> Profiles:
    return tuple(profile.but(key=ed25519.Ed25519PrivateKey.generate()) for profile in profiles)


@pytest.mark.parametrize("profiles", EVERY_REJECTED.values(), ids=EVERY_REJECTED)
def test_a_chain_that_clients_reject_signs_nothing(profiles: Profiles) -> None:
    assert refusal(held(*profiles), SHOP)


@pytest.mark.parametrize("profiles", REJECTED.values(), ids=REJECTED)
def test_a_chain_on_ed25519_that_clients_reject_signs_nothing(profiles: Profiles) -> None:
    assert refusal(held(*on_ed25519(profiles)), SHOP)


@pytest.mark.parametrize("profiles", EVERY_REJECTED.values(), ids=EVERY_REJECTED)
def test_a_certificate_that_clients_reject_is_not_accepted(profiles: Profiles) -> None:
    assert not accepts(SHOP, held(*profiles, FOREIGN_SHOP))


@pytest.mark.parametrize("profiles", REJECTED.values(), ids=REJECTED)
def test_a_certificate_below_ed25519_that_clients_reject_is_not_accepted(profiles: Profiles) -> None:
    assert not accepts(SHOP, held(*on_ed25519(profiles), FOREIGN_SHOP))


@pytest.mark.parametrize("profiles", EVERY_REJECTED.values(), ids=EVERY_REJECTED)
def test_openssl_rejects_it_as_well(profiles: Profiles, tmp_path: Path) -> None:
    assert not openssl_accepts(held(*profiles, FOREIGN_SHOP), tmp_path / "leaf")


def test_a_ca_deeper_than_its_root_permits_is_neither_signed_nor_accepted(tmp_path: Path) -> None:
    assert refusal(held(*TOO_DEEP), SHOP_CA)
    assert not accepts(SHOP_CA, held(*TOO_DEEP, FOREIGN_CA))
    assert not openssl_accepts(held(*TOO_DEEP, FOREIGN_CA, FOREIGN_SHOP), tmp_path / "leaf")


def openssl_accepts(found: Held, folder: Path) -> bool:
    trusting = ("-no-CApath", "-CAfile", ROOTS, "-untrusted", CHAIN)
    command = ["openssl", "verify", "-purpose", "sslserver", *trusting, CHAIN]
    done = subprocess.run(command, cwd=saved(found, folder), capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("on_curve", [lambda them: them, on_ed25519], ids=["P-256", "Ed25519"])
@cases(
    ("profiles", "settings"),
    case("a root", (ROOT,), SHOP),
    case("a root for leaves alone", (ROOT.but(path_length=0),), SHOP),
    case("path lengths that suffice", (ROOT.but(path_length=1), ROOT.but(path_length=0)), SHOP),
    case("a CA below a root", (ROOT.but(path_length=1),), SHOP_CA),
    case("a CA below an intermediate", (ROOT.but(path_length=2), ROOT.but(path_length=1)), SHOP_CA),
    case("a usage that the root permits", (FOR_CLIENTS, ROOT), {**SHOP, "usages": ["clientAuth"]}),
    case("authorities for every usage", (FOR_ALL, FOR_ALL), SHOP),
    case("a name that the root permits", (THE_SHOP, ROOT), SHOP),
)
def test_a_chain_within_its_limits_signs_and_is_accepted(
    profiles: Profiles, settings: Settings, on_curve: Callable[[Profiles], Profiles]
) -> None:
    assert accepts(settings, made(settings, held(*on_curve(profiles))))


def test_it_never_outlives_the_root_of_its_issuer() -> None:
    signed = made(SHOP, held(ROOT.but(ends=timedelta(days=1)), ROOT))
    (anchor,) = certificates(signed[ROOTS])
    assert certificates(signed[CHAIN])[0].not_valid_after_utc == anchor.not_valid_after_utc
    assert accepts(SHOP, signed)


def test_one_that_outlives_its_root_is_renewed_before_the_root_ends() -> None:
    found = held(ROOT.but(ends=timedelta(days=1)), ROOT, FOREIGN_SHOP)
    (anchor,) = certificates(found[ROOTS])
    assert (accepts(SHOP, found), life(SHOP, found).end) == (True, anchor.not_valid_after_utc)


def test_the_root_that_lasts_longest_is_chosen_of_two_with_one_key() -> None:
    """Both are trusted while a CA with a new certificate for its key is rolled out."""
    root = ROOT.but(key=ec.generate_private_key(ec.SECP256R1()))
    issuer, expired = held(root, ROOT), held(root.but(ends=timedelta(days=-1)))[ROOTS]
    orders = [issuer[ROOTS] + expired, expired + issuer[ROOTS]]
    assert {made(SHOP, {**issuer, ROOTS: order})[ROOTS] for order in orders} == {issuer[ROOTS]}


# Settings


@cases(
    "settings",
    case("no name", {}),
    case("a CA's name", {"isCA": True, "dnsNames": ["a"]}),
    case("a CA's usages", {"isCA": True, "commonName": "a", "usages": ["serverAuth"]}),
    case("a long name", {"dnsNames": [f"{'a' * 60}.test"]}),
    case("a name of many bytes", {"commonName": "ü" * 33}),
    case("an address with a zone", {"ipAddresses": ["fe80::1%eth0"]}),
    case("renewed at its start", {"commonName": "a", "duration": "36h", "renewBefore": "36h"}),
    case("by default", {"commonName": "a", "renewBefore": "2160h"}),
    case("renewed all the time", {"commonName": "a", "duration": "1h", "renewBefore": "3591s"}),
    case("too short", {"commonName": "a", "duration": "3599s"}),
    case("half an address", {"ipAddresses": ["10.0.0"]}),
    case("a long common name", {"commonName": "a" * 65}),
)
def test_contradicting_settings_are_refused(settings: Settings) -> None:
    with pytest.raises(Stalled) as refused:
        generator_of("certificate", {"commonName": None, "dnsNames": None, **settings})
    assert refused.value.reason == "InvalidGenerator"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A.test",
        "a_b",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "*",
        "*a.test",
        "a.*",
        "*.*.test",
        "é.test",
        "a" * 64,
        "a\n",
    ],
)
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(Stalled, match=r"certificate\.dnsNames\[0\]: "):
        generator_of("certificate", {"dnsNames": [name]})


@pytest.mark.parametrize(
    "name", ["a", "localhost", "*.shop.test", "a-b.c1.d", "xn--shne-5qa.test", "1.test", "a" * 63]
)
def test_every_host_name_is_taken(name: str) -> None:
    assert f"DNS:{name}" in text_of(made({"commonName": "a", "dnsNames": [name]}))


def test_a_small_rsa_key_is_refused_with_what_to_write() -> None:
    with pytest.raises(Stalled, match="bits: 3072"):
        generator_of("certificate", {"key": {"rsa": {"bits": 2048}}})


def test_only_rsa_takes_long() -> None:
    root()
    keys: tuple[Settings, ...] = ({}, {"ec": {}}, {"ed25519": {}}, {"rsa": {}})
    assert [generator_of("certificate", {"key": key}).is_slow for key in keys] == [False, False, False, True]

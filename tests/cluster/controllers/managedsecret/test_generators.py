"""Values of every kind in the Secrets of a real cluster, and what belongs together among them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509

from keyturn.api.base import Recipe
from keyturn.generators import discover, make
from tests.cluster.namespace import password
from tests.unit.generators.generated import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyturn.generators import Generator
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

CHAIN, KEY, ROOTS = "tls.crt", "tls.key", "ca.crt"


def item(kind: str, name: str | None = None, keys: dict[str, str] | None = None, **settings: Any) -> Body:
    made = {"name": name or kind, "generate": {kind: settings}}
    return made if keys is None else {**made, "keys": keys}


def pair(name: str) -> dict[str, str]:
    return {"privateKey": f"{name}.key", "publicKey": f"{name}.pub"}


EVERY_KIND = (
    item("password", "registry-password"),
    item("bytes"),
    item("uuid"),
    item("passphrase"),
    item("rsaKey", keys=pair("rsa")),
    item("ecKey", keys=pair("ec")),
    item("ed25519Key"),
    item("sshKey", keys={"privateKey": "id_ed25519", "publicKey": "id_ed25519.pub"}),
    item("certificate", dnsNames=["orders.shop.svc"]),
    item("jwks"),
    item("basicAuth"),
    item(
        "dockerConfig",
        registry="registry.shop.test",
        username="puller",
        passwordFrom={"name": "registry-password"},
    ),
    item("totp", account="admin@shop.test"),
)
CA = item("certificate", isCA=True, commonName="Shop CA", duration="3650d")
LEAF = item("certificate", dnsNames=["orders.shop.svc"], issuer={"secretRef": {"name": "shop-ca"}})
TLS = {"type": "kubernetes.io/tls"}


def written(space: Space, name: str = "auth") -> dict[str, bytes]:
    return {key: value.reveal() for key, value in space.values(name).items()}


def certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def verify(secret: dict[str, bytes], folder: Path) -> None:
    for name, content in secret.items():
        (folder / name).write_bytes(content)
    files = ("-CAfile", ROOTS, "-untrusted", CHAIN, CHAIN)
    run("openssl", "verify", "-x509_strict", "-verify_hostname", "orders.shop.svc", *files, cwd=folder)


def test_one_secret_has_values_of_every_kind(space: Space) -> None:
    space.managed(*EVERY_KIND)
    values = space.values()
    unlike = [
        generator.kind
        for generator, keys in generators()
        if not generator.accepts({output: values[key] for output, key in keys.items()})
    ]
    keys = [key for _, keys in generators() for key in keys.values()]
    assert (unlike, sorted(keys)) == ([], sorted(values))


def generators() -> Iterator[tuple[Generator[Any], dict[str, str]]]:
    """Return each generator with the key of each of its outputs."""
    for one in EVERY_KIND:
        generator = make(Recipe(one["generate"]))
        default = {output: one["name"] if output == "value" else output for output in generator.outputs}
        yield generator, default | one.get("keys", {})


def test_every_kind_is_among_them() -> None:
    assert {generator.kind for generator, _ in generators()} == discover().keys()


def test_a_rotation_turns_all_of_them(space: Space) -> None:
    space.managed(*EVERY_KIND, rotation={"overlap": "0s"})
    before = written(space)
    space.rotated()
    same = [key for key, content in written(space).items() if before[key] == content]
    assert same == ["username"]


def test_a_certificate_is_signed_by_the_ca_of_another_managed_secret(space: Space, tmp_path: Path) -> None:
    space.managed(CA, name="shop-ca", target=TLS)
    space.managed(LEAF, target=TLS)
    assert written(space)[ROOTS] == written(space, "shop-ca")[CHAIN]
    verify(written(space), tmp_path)


def test_a_certificate_waits_for_its_ca(space: Space, tmp_path: Path) -> None:
    space.manage(LEAF)
    space.until_condition("Ready", "False", "IssuerNotFound")
    assert space.find("Secret", "auth") is None
    space.managed(CA, name="shop-ca")
    space.settled()
    verify(written(space), tmp_path)


def test_a_secret_that_cannot_sign_is_reported(space: Space) -> None:
    space.managed(password("password"), name="shop-ca")
    space.manage(LEAF)
    assert space.stalled("InvalidIssuer") == (
        "the Secret 'shop-ca' that signs the certificate has no certificate in tls.crt with its key in tls.key;"
        " name the Secret of a CA, whose RSA keys have 8192 bits at most"
    )


def test_a_certificate_is_renewed_before_it_ends_and_nothing_else_is(space: Space) -> None:
    short = item("certificate", dnsNames=["orders.shop.svc"], duration="1h", renewBefore="3590s")
    space.managed(short, password())
    before = written(space)
    space.until_revision("2")
    space.respec(lambda spec: spec.update(suspend=True))
    after = written(space)
    old, new = certificates(before[CHAIN])[0], certificates(after[CHAIN])[0]
    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert after["password"] == before["password"]
    assert after[KEY] != before[KEY]


def test_until_the_overlap_ends_clients_of_a_self_signed_certificate_trust_the_old_one_too(
    space: Space,
) -> None:
    space.managed(item("certificate", dnsNames=["orders.shop.svc"]), rotation={"overlap": "2s"})
    before = written(space)
    space.rotate()
    space.until_revision("2")
    during = certificates(written(space)[ROOTS])
    space.settled(revision=2)
    assert during == certificates(written(space)[CHAIN]) + certificates(before[CHAIN])
    assert written(space)[ROOTS] == written(space)[CHAIN]


def test_tokens_of_before_a_rotation_verify_until_the_overlap_ends(space: Space) -> None:
    space.managed(item("jwks"), rotation={"overlap": "2s"})
    signing = jwt.PyJWKSet.from_json(written(space)["private.jwks"].decode()).keys[0]
    name = str(signing.key_id)
    token = jwt.encode({"sub": "shop"}, signing.key, "ES256", headers={"kid": name})
    space.rotate()
    space.until_revision("2")
    during = jwt.PyJWKSet.from_json(written(space)["public.jwks"].decode())
    space.settled(revision=2)
    after = jwt.PyJWKSet.from_json(written(space)["public.jwks"].decode())
    assert jwt.decode(token, during[name].key, ["ES256"]) == {"sub": "shop"}
    assert [key.key_id == name for key in after.keys] == [False]


def test_a_registry_login_turns_with_its_password(space: Space) -> None:
    login = item(
        "dockerConfig", registry="registry.shop.test", username="puller", passwordFrom={"name": "password"}
    )
    space.managed(
        password(), login, target={"type": "kubernetes.io/dockerconfigjson"}, rotation=only("password")
    )
    space.rotated()
    found = written(space)
    logins = json.loads(found[".dockerconfigjson"])["auths"]
    assert logins["registry.shop.test"]["password"].encode() == found["password"]


def only(*names: str) -> Body:
    return {"only": list(names), "overlap": "0s"}


@pytest.mark.parametrize(
    ("kind", "settings", "changed"),
    [
        ("certificate", {"dnsNames": ["a.test"]}, {"dnsNames": ["a.test", "b.test"]}),
        ("sshKey", {}, {"type": "ecdsa"}),
        ("rsaKey", {}, {"format": "PKCS1"}),
    ],
    ids=["a host name", "a type", "a format"],
)
def test_a_change_that_the_value_does_not_satisfy_makes_a_new_one(
    kind: str, settings: Body, changed: Body, space: Space
) -> None:
    before, after = changed_to(changed, kind, settings, space, revision=2)
    assert [name for name in before if before[name] == after[name]] == ["password"]


@pytest.mark.parametrize(
    ("kind", "settings", "changed"),
    [
        ("certificate", {"dnsNames": ["a.test"]}, {"dnsNames": ["a.test"], "renewBefore": "1d"}),
        ("sshKey", {"comment": "a"}, {"comment": "b"}),
        ("totp", {"account": "a"}, {"account": "b", "issuer": "c"}),
    ],
    ids=["the time of renewal", "a comment", "labels"],
)
def test_a_change_that_the_value_satisfies_leaves_it(
    kind: str, settings: Body, changed: Body, space: Space
) -> None:
    before, after = changed_to(changed, kind, settings, space, revision=1)
    assert before == after


def changed_to(
    changed: Body, kind: str, settings: Body, space: Space, revision: int
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Change the settings of a generator; return the Secret of before and after."""
    space.managed(item(kind, "value", **settings), password(), rotation={"overlap": "0s"})
    before = written(space)
    space.respec(lambda spec: spec["data"][0].update(generate={kind: changed}))
    space.looked_at()
    space.settled(revision=revision)
    return before, written(space)


def test_the_status_reports_when_a_certificate_is_renewed(space: Space) -> None:
    status = space.managed(item("certificate", dnsNames=["a.test"], duration="30d", renewBefore="10d"))
    renewal = datetime.fromisoformat(status["nextRotationTime"])
    assert abs(renewal - (datetime.now(UTC) + timedelta(days=20))) < timedelta(minutes=5)


def test_a_ca_that_turns_leaves_its_certificates_as_they_are(space: Space, tmp_path: Path) -> None:
    space.managed(CA, name="shop-ca", rotation={"overlap": "0s"})
    space.managed(LEAF, rotation={"overlap": "0s"})
    before = written(space)
    space.rotated("shop-ca")
    space.looked_at()
    assert written(space) == before
    verify(written(space), tmp_path)
    space.rotated()
    assert written(space)[ROOTS] == written(space, "shop-ca")[CHAIN]

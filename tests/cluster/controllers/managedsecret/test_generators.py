"""Values of every kind in the Secrets of a real cluster, and what belongs together among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509

from keyturn.api.base import Recipe
from keyturn.generators import discover, make
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


def only(*names: str) -> Body:
    return {"only": list(names), "overlap": "0s"}

"""Where a key lies in a store, which stores share keys among namespaces, and cycles of Secrets."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.api.base import Schema
from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.api.source import StoreRef
from keyturn.controllers.external_health import store_status
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, ObjectKey, StoreKey
from keyturn.core.observation.external import Health
from keyturn.stores import located
from keyturn.stores.health import VALID
from keyturn.stores.providers import discover, provider_of
from keyturn.stores.providers.errors import Refused
from keyturn.stores.settings import shared_keys
from tests.support.cases import case, cases
from tests.unit.stores.fake_stores import FakeStores, cluster_ref, ref

OWN = "{namespace}/"


@cases(
    ("key", "prefix", "path"),
    case("without a prefix", "prod/db", None, "prod/db"),
    case("below the namespace", "db", OWN, "shop/db"),
    case("with more around it", "db", "prod/{namespace}/x-", "prod/shop/x-db"),
    case("with another separator", "db", "{namespace}.", "shop.db"),
    case("below one for all", "db", "shared/", "shared/db"),
    case("two dots that begin a name", "..db", OWN, "shop/..db"),
    case("anything without a prefix", "a b:ü%", None, "a b:ü%"),
    case("an ARN without a prefix", "arn:aws:x:1:secret:db", None, "arn:aws:x:1:secret:db"),
)
def test_a_key_lies_below_its_prefix(key: str, prefix: str | None, path: str) -> None:
    assert located(key, prefix, "shop") == path


@cases(
    ("key", "prefix", "path"),
    case("a slash before it", "/prod/db", None, "/prod/db"),
    case("none, which is another name", "prod/db", None, "prod/db"),
    case("below a prefix with a slash before it", "db", "/{namespace}/", "/shop/db"),
    case("below one without", "db", OWN, "shop/db"),
)
def test_where_a_slash_is_part_of_a_name_it_stays(key: str, prefix: str | None, path: str) -> None:
    assert located(key, prefix, "shop", rooted=True) == path


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        *((key, None) for key in ("", "/", "//", "//db", "/../db", "/a//b", "/a/", "/./a", "/a/..", "/a\\b")),
        *(("/db", prefix) for prefix in (OWN, "/{namespace}/")),
        *(("db", prefix) for prefix in ("/", "//", "//{namespace}/", "/../{namespace}/", "/{namespace}/../")),
        ("../office/db", "/{namespace}/"),
        ("db", "/{namespace}"),
    ],
)
def test_no_slash_before_a_name_leads_elsewhere(key: str, prefix: str | None) -> None:
    with pytest.raises(Refused, match=r"write a key such as prod/payments|keyPrefix"):
        located(key, prefix, "shop", rooted=True)


@pytest.mark.parametrize("prefix", [None, OWN], ids=["without a prefix", "with a prefix"])
@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/db",
        "db/",
        "a//b",
        ".",
        "..",
        "../office/db",
        "a/../b",
        "a/..",
        "./a",
        "a/.",
        "a\\b",
        "a\0b",
    ],
)
def test_a_key_that_could_lead_elsewhere_is_refused(key: str, prefix: str | None) -> None:
    with pytest.raises(Refused, match="write a key such as prod/payments"):
        located(key, prefix, "shop")


@cases(
    "key",
    case("quoted dots", "%2e%2e/office/db"),
    case("quoted slashes", "..%2foffice%2fdb"),
    case("dots with a parameter", "..;/office/db"),
    case("a query", "a?x=office"),
    case("a fragment", "a#office"),
    case("full-width dots", "\uff0e\uff0e/office"),
    case("a slash that is none", "..\u2215office"),
    case("dots with a space", ".. /office"),
    case("a wildcard", "*"),
    case("a line break", "a\nb"),
    case("an ARN", "arn:aws:x:1:secret:db"),
    case("a version", "db:3"),
)
def test_below_a_prefix_only_plain_characters_are_taken(key: str) -> None:
    with pytest.raises(Refused, match="letters, digits and"):
        located(key, OWN, "shop")


@pytest.mark.parametrize(
    "prefix", ["{namespace}", "{namespace}-", "{namespace}x", "{namespace}0/", "x{namespace}-y/"]
)
def test_a_prefix_that_another_namespace_could_spell_is_refused(prefix: str) -> None:
    # Below "{namespace}-", the key "a-db" of the namespace "team" is the key "db" of "team-a".
    with pytest.raises(Refused, match="keyPrefix"):
        located("db", prefix, "team")


@pytest.mark.parametrize(
    "prefix", ["../{namespace}/", "{namespace}/../", "//", "./", "/", "x//{namespace}/", "/{namespace}/"]
)
def test_a_prefix_that_leads_out_of_itself_is_refused(prefix: str) -> None:
    with pytest.raises(Refused, match="keyPrefix"):
        located("db", prefix, "shop")


def test_a_prefix_needs_a_namespace() -> None:
    with pytest.raises(Refused, match="keyPrefix"):
        located("db", OWN, "")


KEY = StoreKey(CLUSTER_SECRET_STORE, "", "vault")
SEVERAL = {"names": ["shop", "bank"]}
VAULT = {
    "vault": {
        "server": "https://vault.test",
        "auth": {"token": {"secretRef": {"name": "vault", "key": "token"}}},
    }
}
AS_ITSELF = {
    "vault": {
        "server": "https://vault.test",
        "auth": {"kubernetes": {"role": "teams", "serviceAccountRef": {"name": "reader"}}},
    }
}
GCP = {"gcpSecretManager": {"projectId": "shop-prod", "auth": {"secretRef": {"name": "gcp", "key": "key"}}}}


def store(provider: dict[str, Any] = VAULT, **spec: Any) -> ClusterSecretStore:
    metadata = {"name": "vault", "uid": "u", "generation": 1, "resourceVersion": "1"}
    return ClusterSecretStore.model_validate({"metadata": metadata, "spec": {"provider": provider, **spec}})


@cases(
    "spec",
    case("two by name", {"allowedNamespaces": SEVERAL}),
    case("all", {"allowedNamespaces": {"selector": {}}}),
    case("one, and all", {"allowedNamespaces": {"names": ["shop"], "selector": {}}}),
    case("one prefix for both", {"allowedNamespaces": SEVERAL, "keyPrefix": "team/"}),
)
def test_keys_of_a_store_for_several_without_a_namespace_in_its_prefix_are_shared(
    spec: dict[str, Any],
) -> None:
    said = shared_keys(KEY, store(**spec))

    assert said
    assert said.startswith("each allowed namespace may read, and by pushTo overwrite, the keys of the others")
    assert "write keyPrefix: '{namespace}/' and move their keys there" in said


@cases(
    ("provider", "spec"),
    case("a prefix for each", VAULT, {"allowedNamespaces": SEVERAL, "keyPrefix": "{namespace}/"}),
    case("within it", VAULT, {"allowedNamespaces": SEVERAL, "keyPrefix": "x/{namespace}/y"}),
    case("for one", VAULT, {"allowedNamespaces": {"names": ["shop"]}}),
    case("for none", VAULT, {}),
    case("a login of its own for each", AS_ITSELF, {"allowedNamespaces": SEVERAL}),
    case("Secrets of its own for each", {"kubernetes": {}}, {"allowedNamespaces": SEVERAL}),
    case("settings that cannot be followed", {"vault": {}}, {"allowedNamespaces": SEVERAL}),
)
def test_nothing_is_said_where_keys_are_not_shared(provider: dict[str, Any], spec: dict[str, Any]) -> None:
    assert shared_keys(KEY, store(provider, **spec)) is None


def test_a_store_of_one_namespace_shares_nothing() -> None:
    metadata = {"name": "vault", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"}
    mine = SecretStore.model_validate({"metadata": metadata, "spec": {"provider": VAULT}})

    assert shared_keys(StoreKey(SECRET_STORE, "shop", "vault"), mine) is None


def test_the_prefix_that_is_named_is_one_that_the_store_takes() -> None:
    said = shared_keys(KEY, store(GCP, allowedNamespaces=SEVERAL))

    assert said
    assert "keyPrefix: '{namespace}_'" in said


@pytest.mark.parametrize("kind", discover())
def test_every_prefix_that_is_named_is_accepted(kind: str) -> None:
    provider = provider_of(kind)
    assert provider
    assert issubclass(provider.Config, Schema)
    prefix = f"{{namespace}}{provider.parts_with}"
    store(keyPrefix=prefix)
    provider.__new__(provider)._check(located("db", prefix, "shop"))  # looks at the key only


@pytest.mark.parametrize("kind", discover())
def test_no_namespace_has_the_character_that_separates_keys_in_its_name(kind: str) -> None:
    provider = provider_of(kind)
    assert provider
    assert not re.search("[-a-z0-9]", provider.parts_with)


@cases(
    ("provider", "prefix"),
    case("files", {"files": {"path": "/run/secrets"}}, "{namespace}_"),
    case(
        "Secrets of another cluster",
        {"kubernetes": {"kubeconfigRef": {"name": "k", "key": "c"}, "namespace": "x"}},
        "{namespace}.",
    ),
)
def test_keys_without_slashes_are_separated_by_another_character(
    provider: dict[str, Any], prefix: str
) -> None:
    said = shared_keys(KEY, store(provider, allowedNamespaces=SEVERAL))

    assert said
    assert f"keyPrefix: '{prefix}'" in said


@pytest.mark.parametrize("is_ready", [True, False])
def test_the_status_says_so_beside_whether_it_is_ready(*, is_ready: bool) -> None:
    health = VALID if is_ready else Health(is_ready=False, reason="Unreachable", message="x", passes=True)
    conditions = store_status(store(), health, datetime(2026, 11, 27, tzinfo=UTC), "say").conditions

    assert [(one.type, one.status, one.reason, one.message) for one in conditions[-1:]] == [
        ("KeysShared", "True", "NoNamespaceInPrefix", "say")
    ]
    assert conditions[0].type == "Ready"
    assert len(store_status(store(), VALID, datetime(2026, 11, 27, tzinfo=UTC)).conditions) == 1


HERE = ref("here")


@pytest.fixture
def fake() -> FakeStores:
    fake = FakeStores()
    fake.store("here", provider="kubernetes")
    fake.store("kept")
    fake.cluster_store("all", provider="kubernetes")
    return fake


def takes_in(fake: FakeStores, name: str, *keys: str, store: StoreRef = HERE, secret: str = "") -> None:
    store_ref: dict[str, Any] = {"name": store.name, **({"kind": str(store.kind)} if store.kind else {})}
    spec: dict[str, Any] = {
        "dataFrom": [{"storeRef": store_ref, "remoteRef": {"key": key}} for key in keys],
        "target": {"name": secret} if secret else {},
    }
    fake.cache.data_from.note(ObjectKey("shop", name), spec)


def way(fake: FakeStores, key: str, secret: str = "a", store: StoreRef = HERE) -> str:  # noqa: S107  # a name
    return " ".join(fake.stores.reference_cycle(store, "shop", key, secret))


def test_two_that_take_in_each_other_are_a_circle(fake: FakeStores) -> None:
    takes_in(fake, "a", "b")
    takes_in(fake, "b", "a")
    assert way(fake, "b") == "b a"


def test_a_longer_way_is_reported_the_shortest_first(fake: FakeStores) -> None:
    takes_in(fake, "b", "x", "c", "d")
    takes_in(fake, "c", "d")
    takes_in(fake, "d", "a")
    assert way(fake, "b") == "b d a"


def test_a_secret_of_another_name_than_its_managed_secret_is_followed(fake: FakeStores) -> None:
    takes_in(fake, "other", "a", secret="b")  # noqa: S106
    assert way(fake, "b") == "b a"


def test_a_store_of_all_namespaces_is_followed_within_this_one(fake: FakeStores) -> None:
    takes_in(fake, "b", "a", store=cluster_ref("all"))
    assert way(fake, "b", "a", cluster_ref("all")) == "b a"


@cases(
    ("key", "secret", "store"),
    case("nobody takes it in", "b", "z", HERE),
    case("another store", "b", "a", ref("kept")),
    case("no store", "b", "a", ref("nowhere")),
    case("no key", "../b", "a", HERE),
)
def test_what_leads_nowhere_is_none(fake: FakeStores, key: str, secret: str, store: StoreRef) -> None:
    takes_in(fake, "b", "c")
    takes_in(fake, "c", "b")
    assert way(fake, key, secret, store) == ""


def test_a_circle_beside_is_no_circle_of_ours(fake: FakeStores) -> None:
    takes_in(fake, "b", "c")
    takes_in(fake, "c", "b")
    assert way(fake, "b") == ""


def test_who_no_longer_takes_it_in_is_forgotten(fake: FakeStores) -> None:
    takes_in(fake, "b", "a")
    takes_in(fake, "b")
    assert way(fake, "b") == ""
    takes_in(fake, "b", "a")
    fake.cache.data_from.forget(ObjectKey("shop", "b"))
    assert way(fake, "b") == ""


def test_another_namespace_is_not_looked_at(fake: FakeStores) -> None:
    spec = {"dataFrom": [{"storeRef": {"name": "here"}, "remoteRef": {"key": "a"}}]}
    fake.cache.data_from.note(ObjectKey("office", "b"), spec)
    assert way(fake, "b") == ""

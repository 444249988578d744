"""A generated value is under the key that External Secrets gives it, or a finding says that it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api import ManagedSecret
from keyturn.offline.convert import Weight, convert
from keyturn.offline.convert.goregexp import replace_all

if TYPE_CHECKING:
    from keyturn.offline.convert.model import Conversion


# The results are those of regexp.ReplaceAllString of Go 1.26.
@pytest.mark.parametrize(
    ("source", "target", "name", "result"),
    [
        ("(.*)", "db_$1", "password", "db_password"),
        ("(.+)", "db_$1", "password", "db_password"),
        ("^(.*)$", "${1}_new", "password", "password_new"),
        ("(.*)", "$1_new", "password", ""),
        ("(.*)", "$0$0", "uuid", "uuiduuid"),
        ("(.*)", "$3x", "password", ""),
        ("(.*)", "${3}x", "password", "x"),
        ("(.*)", "${01}x", "password", "x"),
        ("(.*)", "${1", "password", "${1"),
        ("(.*)", "$-$1", "x", "$-x"),
        ("(.*)", "$é", "uuid", ""),
        ("(s)", "$$1", "password", "pa$1$1word"),
        ("s", "$", "password", "pa$$word"),
        ("(?P<a>pass)(?P<b>word)", "$b-$a", "password", "word-pass"),
        ("(?P<a>pass)(?P<b>word)", "${b}_$a_", "password", "word_"),
        ("(a)|(p)", "[$1|$2]", "password", "[|p][a|]ssword"),
        ("x*", "-", "abxc", "-a-b-c-"),
        ("s*", "-", "password", "-p-a-w-o-r-d-"),
        ("w*?", "-", "password", "-p-a-s-s-w-o-r-d-"),
        ("", "_", "ab", "_a_b_"),
        ("^", "db_", "password", "db_password"),
        ("$", "_db", "password", "password_db"),
        (r"\b", "|", "a-b", "|a|-|b|"),
        ("a|ab", "x", "abab", "xbxb"),
        ("word$", r"\1", "password", r"pass\1"),
        ("(?i)PASS", "", "password", "word"),
        ("([a-z])([A-Z])", "${1}_$2", "privateKey", "private_Key"),
        ("nothing", "x", "password", "password"),
    ],
)
def test_a_pattern_replaces_what_it_replaces_in_go(source: str, target: str, name: str, result: str) -> None:
    assert replace_all(source, target, name) == result


@pytest.mark.parametrize(
    "source",
    [
        "[[:alpha:]]",
        "[a[:digit:]]",
        "a{,2}",
        "[a&&b]",
        "[a",
        "(?u)a",
        "a{99999999999}",
        r"\pL",
        "(?=a)",
        r"(a)\1",
    ],
)
def test_a_pattern_that_python_reads_otherwise_is_not_understood(source: str) -> None:
    assert replace_all(source, "x", "password") is None


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("(a*)*b", id="a repeated repetition"),
        pytest.param("(?:[a-z]+)+!", id="one of classes"),
        pytest.param("(a|a)*b", id="a repeated choice"),
        pytest.param("(a?){50}b", id="a counted one"),
        pytest.param(".*" * 60 + "!", id="many repetitions"),
        pytest.param("a?" * 60 + "!", id="many options"),
        pytest.param("(a|a)" * 60 + "!", id="many choices"),
        pytest.param("(?x)(a*) *b", id="blanks between"),
    ],
)
def test_a_pattern_that_may_never_end_is_not_understood(source: str) -> None:
    assert replace_all(source, "x", "a" * 60) is None


def test_of_a_long_name_a_pattern_has_fewer_steps() -> None:
    assert replace_all("(.*)-(.*)", "$2", "a-b" * 50) is not None
    assert replace_all("(.*)-(.*)-(.*)", "$2", "a-b" * 50) is None
    assert replace_all("a", "b", "a" * 254) is None, "it is no name of a key"


def test_a_value_is_renamed_as_a_whole() -> None:
    conversion = _converted("Password", {"length": 40, "symbols": 0}, "(.*)", "db_$1")

    assert _items(conversion) == [
        {"name": "db_password", "generate": {"password": {"length": 40, "symbols": False}}}
    ]
    assert conversion.findings == ()


def test_a_rewrite_acts_on_the_keys_of_a_key_pair() -> None:
    conversion = _converted("SSHKey", {"keyType": "ed25519"}, "(.*)", "deploy_$1")

    assert _items(conversion) == [
        {
            "name": "ssh-key-deploy_privateKey",
            "generate": {"sshKey": {"type": "ed25519"}},
            "keys": {"privateKey": "deploy_privateKey", "publicKey": "deploy_publicKey"},
        }
    ]
    assert conversion.findings == ()


def test_a_pair_without_a_new_name_keeps_its_keys() -> None:
    conversion = _converted("SSHKey", {"keyType": "ed25519"}, "password", "deploy")

    assert _items(conversion) == [{"name": "ssh-key", "generate": {"sshKey": {"type": "ed25519"}}}]


@pytest.mark.parametrize(
    ("source", "target", "what"),
    [
        ("(.*)", "$1_new", "leaves no name"),
        ("[[:alpha:]]+", "x", "is not understood"),
        (".*", "key", "gives several outputs one name"),
    ],
)
def test_keys_stay_and_are_reported_if_a_rewrite_cannot_be_applied(
    source: str, target: str, what: str
) -> None:
    conversion = _converted("SSHKey", {"keyType": "ed25519"}, source, target)

    (item,), (finding,) = _items(conversion), conversion.findings
    assert "keys" not in item
    assert finding.weight is Weight.LOST
    assert what in finding.what


def test_two_pairs_with_keys_of_their_own_are_both_made() -> None:
    rewritten = [{"regexp": {"source": "(.*)", "target": f"{name}_$1"}} for name in ("ci", "cd")]
    entries = [_entry("SSHKey", [rewrite]) for rewrite in rewritten]

    items = _items(convert([_generator("SSHKey", {}), _external_secret(entries)]))

    assert [item["keys"]["publicKey"] for item in items] == ["ci_publicKey", "cd_publicKey"]


def test_the_keys_of_a_pair_can_be_pushed() -> None:
    push = {
        "apiVersion": "external-secrets.io/v1alpha1",
        "kind": "PushSecret",
        "metadata": {"name": "login", "namespace": "shop"},
        "spec": {
            "secretStoreRefs": [{"name": "vault"}],
            "selector": {"generatorRef": {"kind": "SSHKey", "name": "made"}},
            "data": [{"match": {"secretKey": "publicKey", "remoteRef": {"remoteKey": "shop/deploy"}}}],
        },
    }

    (made,) = convert([_generator("SSHKey", {"keyType": "ed25519"}), push]).manifests

    assert [one["secretKey"] for one in made.body["spec"]["pushTo"]] == ["publicKey"]


@pytest.mark.parametrize(
    ("type_", "what"),
    [
        ("rsa", ["is left out: an RSA key has 3072 bits"]),
        ("ecdsa", ["is left out: an ECDSA key is on P-256"]),
        ("ed25519", []),
    ],
)
def test_the_size_of_a_key_is_reported_for_its_type(type_: str, what: list[str]) -> None:
    conversion = _converted("SSHKey", {"keyType": type_, "keySize": 521}, "x", "y")

    assert [finding.what for finding in conversion.findings] == what


def _converted(kind: str, spec: dict[str, Any], source: str, target: str) -> Conversion:
    rewrite = {"regexp": {"source": source, "target": target}}
    return convert([_generator(kind, spec), _external_secret([_entry(kind, [rewrite])])])


def _generator(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "made", "namespace": "shop"}
    return {
        "apiVersion": "generators.external-secrets.io/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def _entry(kind: str, rewrite: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sourceRef": {"generatorRef": {"kind": kind, "name": "made"}}, "rewrite": rewrite}


def _external_secret(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "login", "namespace": "shop"},
        "spec": {"refreshInterval": "0", "dataFrom": entries},
    }


def _items(conversion: Conversion) -> list[dict[str, Any]]:
    (made,) = conversion.manifests
    ManagedSecret.model_validate(made.body)
    items: list[dict[str, Any]] = made.body["spec"]["data"]
    return items

"""That ManagedSecret manifests make the same variables here as keys in a cluster."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from keyturn.offline.dotenv.read_manifests import variable_of
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.unit.offline.dotenv.project_folder import Folder

_EXAMPLES = ROOT / "manifests" / "examples"


def managed(*data: dict[str, Any], name: str = "auth", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"data": list(data), **spec},
    }


def class_(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "SecretClass",
        "metadata": {"name": name},
        "spec": spec,
    }


def init(folder: Folder, *bodies: dict[str, Any]) -> str:
    return folder.init("-f", folder.put("secrets.yaml", yaml.safe_dump_all(bodies)))


def refusal(folder: Folder, *bodies: dict[str, Any]) -> str:
    return folder.refusal("init", "-f", folder.put("secrets.yaml", yaml.safe_dump_all(bodies)))


def test_each_key_is_a_variable(folder: Folder) -> None:
    password = {"name": "db-password", "generate": {"password": {"length": 40}}}

    init(folder, managed({"name": "user", "literal": "shop"}, password))

    assert re.fullmatch(r"# auth\nuser=shop\nDB_PASSWORD=\S+\n", folder.text())
    assert len(folder.value("DB_PASSWORD")) == 40


def test_a_manifest_is_read_with_the_types_of_kubectl(folder: Folder) -> None:
    text = """
apiVersion: keyturn.dev/v1alpha1
kind: ManagedSecret
metadata: {name: auth}
spec:
  data:
  - {name: since, literal: 2026-11-24}
  - {name: at, literal: 12:30:45}
  - {name: token, literal: 2026-02-30}
  rollout:
"""
    folder.init("-f", folder.put("secrets.yaml", text))

    assert folder.text() == "# auth\nsince=2026-11-24\nat=12:30:45\ntoken=2026-02-30\n"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("jwt-secret", "JWT_SECRET"),
        ("tls.crt", "TLS_CRT"),
        (".dockerconfigjson", "DOCKERCONFIGJSON"),
        ("2fa", "_2FA"),
        ("JWT_SECRET", "JWT_SECRET"),
        ("password", "password"),
    ],
)
def test_a_key_that_no_shell_could_set_gets_a_name(key: str, name: str) -> None:
    assert variable_of(key) == name


def test_templates_are_rendered_as_in_a_cluster(folder: Folder) -> None:
    url = "pg://{{ user }}:{{ password | url_encode }}@db"

    init(
        folder,
        managed(
            {"name": "user", "literal": "shop"},
            {"name": "password", "generate": {"password": {}}},
            target={"template": {"data": {"DATABASE_URL": url}}},
        ),
    )

    assert folder.value("DATABASE_URL") == f"pg://shop:{folder.value('password')}@db"


def test_the_keys_of_several_outputs_are_variables_each(folder: Folder) -> None:
    init(
        folder,
        managed(
            {
                "name": "deploy",
                "generate": {"sshKey": {}},
                "keys": {"privateKey": "id", "publicKey": "id.pub"},
            }
        ),
    )

    assert folder.value("id").startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert folder.value("ID_PUB").startswith("ssh-ed25519 ")


def test_a_shipped_class_brings_its_generator(folder: Folder) -> None:
    init(folder, managed({"name": "KEY"}, className="jwt-secret"))

    assert len(base64.b64decode(folder.value("KEY"))) == 32


def test_a_class_beside_it_goes_before_the_shipped_one(folder: Folder) -> None:
    own = class_("jwt-secret", generate={"bytes": {"length": 64, "encoding": "hex"}})

    init(folder, own, managed({"name": "KEY"}, className="jwt-secret"))

    assert len(folder.value("KEY")) == 128


def test_a_default_class_beside_it_counts(folder: Folder) -> None:
    own = class_("all", generate={"uuid": {}})
    own["metadata"]["annotations"] = {"keyturn.dev/is-default-class": "true"}

    init(folder, own, managed({"name": "KEY"}))

    assert len(folder.value("KEY")) == 36


def test_a_certificate_is_signed_by_the_one_of_another_manifest(folder: Folder) -> None:
    leaf = {"certificate": {"commonName": "db", "issuer": {"secretRef": {"name": "ca"}}}}
    ca = {"certificate": {"commonName": "ca", "isCA": True, "issuer": {"selfSigned": {}}}}
    keys = {name: f"ca.{name}" for name in ("tls.crt", "tls.key", "ca.crt")}

    init(
        folder,
        managed({"name": "leaf", "generate": leaf}, name="leaf"),
        managed({"name": "ca", "generate": ca, "keys": keys}, name="ca"),
    )

    signer = x509.load_pem_x509_certificate(folder.value("CA_TLS_CRT").encode())
    x509.load_pem_x509_certificate(folder.value("TLS_CRT").encode()).verify_directly_issued_by(signer)


def test_what_a_store_has_is_for_a_person(folder: Folder) -> None:
    pulled = {"name": "api-key", "from": {"storeRef": {"name": "aws"}, "remoteRef": {"key": "prod/pay"}}}
    path = folder.put("secrets.yaml", yaml.safe_dump(managed(pulled, refreshInterval="1h")))

    done = folder.run("init", "-f", path)

    assert done.exit_code == 3
    assert done.output.splitlines()[-1] == ".env.development: API_KEY is missing"
    assert folder.text() == "# auth\nAPI_KEY=\n"


@pytest.mark.parametrize(
    "name", ["auth-secrets", "passwords", "key-pairs", "basic-auth", "totp", "jwks", "docker-config"]
)
def test_the_examples_for_clusters_work_here(name: str, folder: Folder) -> None:
    folder.init("-f", _EXAMPLES / f"{name}.yaml")

    assert all(folder.values().values())


def test_only_one_of_them_is_rotated(folder: Folder) -> None:
    path = folder.put(
        "secrets.yaml", yaml.safe_dump(managed(*({"name": n, "generate": {"uuid": {}}} for n in "AB")))
    )
    folder.init("-f", path)
    before = folder.values()

    folder.init("-f", path, "--rotate=B")

    assert folder.values()["A"] == before["A"]
    assert folder.values()["B"] != before["B"]


@pytest.mark.parametrize(
    ("bodies", "sentence"),
    [
        ([], "the manifest has to hold a ManagedSecret or SecretClass with a name; it holds none"),
        ([class_("own", generate={"bytes": {}})], "the manifests hold no ManagedSecret; name files that do"),
        (
            [managed({"name": "K"}, className="gold")],
            "there is no SecretClass 'gold' in the manifests, nor among the shipped",
        ),
        ([managed({"name": "K"})], "ManagedSecret auth: data item 'K' has n"),
        (
            [managed({"name": "K", "generate": {"byts": {}}})],
            "ManagedSecret auth would be refused: spec.data[0].generate.byts is unknown; write bytes",
        ),
        (
            [managed({"name": "K", "literal": ["canary"]})],
            "ManagedSecret auth would be refused: spec.data[0].literal has to be a text: quote it",
        ),
        ([{**managed(), "spec": "canary"}], "spec has to be an object with fields"),
        ([managed()], "a ManagedSecret of the manifests has no data; write spec.data"),
        (
            [{**managed({"name": "K", "literal": "canary"}), "apiVersion": "keyturn.dev/v1"}],
            "apiVersion is not keyturn.dev/v1alpha1; write that",
        ),
        ([managed({"name": "K", "literal": "canary"}, supend=True)], "spec.supend is unknown; write suspend"),
        (
            [{**managed({"name": "K", "literal": ""}), "metadata": "canary"}],
            "the manifest has to hold a ManagedSecret with a name; one has none",
        ),
        (
            [managed({"name": "K", "literal": "a"}), managed({"name": "K", "literal": "b"}, name="other")],
            "K is written twice, also by other; give one of the keys another name by keys",
        ),
        (
            [
                class_("strict", minLength=64, generate={"bytes": {}}),
                managed({"name": "K"}, className="strict"),
            ],
            "ManagedSecret auth: K would have 44 characters and class strict asks for 64",
        ),
        (
            [managed({"name": "K", "literal": "canary"}, target={"template": {"data": {"A": "{{ LOST }}"}}})],
            "auth: template 'A', line 1: there is no value 'LOST'",
        ),
        (
            [managed({"name": "K", "literal": "canary"}, target={"template": {"data": {"K": "{{ K }}"}}})],
            "auth: K is an item and a template; rename the item, and keep the template",
        ),
    ],
    ids=[
        "none",
        "a class alone",
        "unknown class",
        "no source",
        "unknown generator",
        "no text",
        "no spec",
        "no data",
        "another version",
        "an unknown field",
        "no metadata",
        "twice",
        "too weak for its class",
        "template",
        "hidden item",
    ],
)
def test_manifests_that_cannot_be_followed_are_refused(
    bodies: list[dict[str, Any]], sentence: str, folder: Folder
) -> None:
    said = refusal(folder, *bodies)

    assert sentence in said
    assert "canary" not in said


@pytest.mark.parametrize(
    "content",
    [b"a: b: canary", b"- \xff", b"\0", b"a: &a [*a", b"[" * 100_000, b"x: 2026-99-99"],
    ids=["colons", "invalid UTF-8", "NUL", "open", "deep", "date"],
)
def test_a_file_that_is_no_yaml_is_refused(content: bytes, folder: Folder) -> None:
    path = folder.put("secrets.yaml", content)

    said = folder.refusal("init", "-f", path)

    assert (said.startswith(str(path)) and "this is not valid YAML" in said) or "it holds none" in said
    assert "canary" not in said


def test_a_manifest_that_is_not_there_is_reported(folder: Folder) -> None:
    said = folder.refusal("init", "-f", "nowhere.yaml")

    assert said == "nowhere.yaml cannot be read: No such file or directory"


def test_the_objects_of_a_list_and_of_a_folder_are_read(folder: Folder) -> None:
    bodies = [managed({"name": "A", "literal": "1"}), managed({"name": "B"}, name="b", className="own")]
    listed = {"apiVersion": "v1", "kind": "List", "items": bodies}
    (folder.path / "manifests").mkdir()
    folder.put("manifests/list.json", json.dumps(listed))
    folder.put("manifests/class.yaml", yaml.safe_dump(class_("own", generate={"bytes": {"length": 24}})))

    folder.init("-f", folder.path / "manifests")

    assert folder.value("A") == "1"
    assert len(base64.b64decode(folder.value("B"))) == 24


@pytest.mark.parametrize(
    ("command", "file"), [(("init",), ".env.development"), (("render", "--to=dotenv"), ".env")], ids=" ".join
)
def test_manifests_are_read_from_standard_input(command: tuple[str, ...], file: str, folder: Folder) -> None:
    text = yaml.safe_dump(managed({"name": "A", "literal": "1"}))
    folder.env("A=1\n")

    done = folder.process(*command, "-f", "-", given=text)

    assert done.returncode == 0, done.stderr
    assert "A=1\n" in (folder.path / file).read_text()

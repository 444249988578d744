"""`keyturn convert`, as people and pipelines type it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from keyturn.cli.commands import main
from tests.unit.offline.convert.cases import CASES, Case

_PLAIN, _FOREIGN, _TEMPLATES, _MITTWALD = (
    next(case for case in CASES if case.name == name)
    for name in ("plain", "foreign", "templates", "mittwald")
)


def convert(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)], input=given)


def names(output: str) -> list[str]:
    return [f"{body['kind']}/{body['metadata']['name']}" for body in yaml.safe_load_all(output) if body]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository: manifests in folders, beside what is none."""
    (tmp_path / "apps" / "shop").mkdir(parents=True)
    (tmp_path / "apps" / "shop" / "secrets.yml").write_text(_PLAIN.input)
    (tmp_path / "store.yaml").write_text(_FOREIGN.input)
    (tmp_path / "README.md").write_text("{{ nothing of ours")
    return tmp_path


def test_manifests_go_to_standard_output_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(_PLAIN.input)

    done = convert("-f", tmp_path / "secret.yaml")

    assert (done.exit_code, done.stdout, done.stderr) == (0, _PLAIN.output, "")


def test_standard_input_is_read() -> None:
    assert convert("-f", "-", given=_PLAIN.input).stdout == _PLAIN.output


def test_a_folder_is_read_with_all_below_it(folder: Path) -> None:
    done = convert("-f", folder)

    assert sorted(names(done.stdout)) == ["ManagedSecret/checkout", "ManagedSecret/web"]


def test_several_files_are_read_as_one(folder: Path) -> None:
    done = convert("-f", folder / "apps", "-f", "-", given=_FOREIGN.input)

    assert sorted(names(done.stdout)) == ["ManagedSecret/checkout", "ManagedSecret/web"]


def test_lost_meaning_is_reported_and_ends_with_1() -> None:
    done = convert("-f", "-", given=_TEMPLATES.input)

    assert (done.exit_code, done.stdout) == (1, _TEMPLATES.output)
    header, first, *_ = done.stderr.splitlines()
    assert header.split() == ["DOCUMENT", "FIELD", "MEANING", "WHAT", "HAPPENS", "WHAT", "TO", "DO"]
    assert first.startswith("ExternalSecret shop/orders   spec.target.template.data.DATABASE_URL")
    assert "   lost   " in first


def test_lenient_ends_with_0_all_the_same() -> None:
    strict, lenient = (convert("-f", "-", *more, given=_TEMPLATES.input) for more in ((), ("--lenient",)))

    assert (strict.exit_code, lenient.exit_code) == (1, 0)
    assert (strict.stdout, strict.stderr) == (lenient.stdout, lenient.stderr)


def test_what_is_of_another_kind_is_left_out_and_counted() -> None:
    done = convert("-f", "-", given=_FOREIGN.input)

    assert names(done.stdout) == ["ManagedSecret/web"]
    assert "Left out, as their kinds are not converted: 1 Deployment, 1 Secret" in done.stderr


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("secretgenerator.mittwald.de/v1alpha1", "StringSecret"),
        ("generators.external-secrets.io/v1alpha1", "Password"),
        ("external-secrets.io/v1", "ClusterExternalSecret"),
        ("external-secrets.io/v1alpha1", "PushSecret"),
    ],
)
def test_a_secret_of_another_tool_that_is_not_converted_is_lost(version: str, kind: str) -> None:
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}}

    done = convert("-f", "-", given=json.dumps(body))

    assert (done.exit_code, done.stdout) == (1, "")
    line = " ".join(done.stderr.splitlines()[1].split())
    assert line.startswith(f"{kind} shop/web spec lost is of a kind that is not converted ")


@pytest.mark.parametrize("case", [_FOREIGN, _MITTWALD], ids=lambda case: case.name)
def test_no_value_of_a_secret_is_ever_printed(case: Case) -> None:
    done = convert("-f", "-", given=case.input)

    for value in ("not to be printed", "bm90IHRvIGJlIHByaW50ZWQ="):
        assert value not in done.stdout + done.stderr


def test_a_file_that_is_no_yaml_ends_with_2_and_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: 1\nsecret: [hidden\nb: {hidden: [\n")

    done = convert("-f", tmp_path / "broken.yaml")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "hidden" not in done.stderr
    assert done.stderr.startswith(f"Error: {tmp_path}/broken.yaml, line ")


def test_a_chart_that_is_not_rendered_is_distinguished_from_a_broken_file() -> None:
    done = convert("-f", "-", given="metadata:\n  name: {{ .Release.Name }}-secret\n")

    assert (done.exit_code, done.stderr) == (
        2,
        "Error: standard input, line 2: this is not valid YAML; render a Helm chart by `helm template` first\n",
    )


@pytest.mark.parametrize(
    "text",
    ["- 1\n", "text\n", "kind: List\nitems: [text]\n", "!!python/object:os.system {}\n", "\x00", "a: \xff"],
)
def test_what_is_no_object_ends_with_2(text: str) -> None:
    done = convert("-f", "-", given=text)

    if done.exit_code != 2:
        assert (done.exit_code, done.stdout) == (0, "")  # YAML of some kind, and nothing to convert
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_a_folder_without_manifests_ends_with_2(tmp_path: Path) -> None:
    done = convert("-f", tmp_path)

    assert done.exit_code == 2
    assert "has no file that ends in .yaml, .yml or .json" in done.stderr


def test_a_subfolder_that_cannot_be_read_ends_with_2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, scandir = folder / "apps", os.scandir

    def scan(path: str) -> Any:
        if str(path) == str(closed):  # root reads every folder, whatever its mode
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)

    done = convert("-f", folder)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"Error: {closed} cannot be read: Permission denied\n"


def test_an_object_that_is_there_twice_is_lost(tmp_path: Path) -> None:
    for place, key in (("base/secret.yaml", "common"), ("overlays/prod/patch.yaml", "other")):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(_PLAIN.input.replace("shop/prod/common", f"shop/prod/{key}"))

    done = convert("-f", tmp_path)

    assert done.exit_code == 1
    assert (
        done.stdout.count("# TODO metadata.name makes the ManagedSecret checkout, which is there 2 times")
        == 2
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_that_is_named_twice_is_converted_once(case: Case, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(case.input)

    once = convert("-f", tmp_path)
    twice = convert("-f", tmp_path, "-f", tmp_path / "all.yaml")

    assert (twice.exit_code, twice.stdout, twice.stderr) == (once.exit_code, once.stdout, once.stderr)


def test_the_object_of_a_file_and_of_the_cluster_is_one() -> None:
    of_cluster = f"{_PLAIN.input}status: {{refreshTime: now}}\n"

    done = convert("-f", "-", given=f"{_PLAIN.input}---\n{of_cluster}")

    assert (done.exit_code, done.stdout, done.stderr) == (0, _PLAIN.output, "")


def test_objects_of_one_name_in_two_namespaces_are_two() -> None:
    text = f"{_PLAIN.input}---\n{_PLAIN.input.replace('namespace: shop', 'namespace: stage')}"

    done = convert("-f", "-", given=text)

    assert (done.exit_code, names(done.stdout)) == (0, ["ManagedSecret/checkout"] * 2)


def test_nothing_to_convert_is_said() -> None:
    done = convert("-f", "-", given="kind: ConfigMap\nmetadata: {name: a}\n")

    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.endswith("No object to convert: `keyturn convert --help` names the kinds\n")


def test_json_and_lists_are_read() -> None:
    text = (
        '{"kind": "List", "items": [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecretList", "items": [\
        {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "web"}, "spec":\
        {"secretStoreRef": {"name": "aws"}, "data": [{"secretKey": "a", "remoteRef": {"key": "b"}}]}}]}]}'
    )

    done = convert("-f", "-", given=text)

    assert (done.exit_code, names(done.stdout)) == (0, ["ManagedSecret/web"])


def test_no_value_of_a_typed_list_of_secrets_is_printed() -> None:
    text = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "SecretList",
            "items": [{"metadata": {"name": "web"}, "data": {"password": "Y2FuYXJ5"}}],
        }
    )

    done = convert("-f", "-", given=text)

    assert done.exit_code == 0
    assert "Y2FuYXJ5" not in done.output


def test_a_text_cannot_leave_its_comment() -> None:
    text = """
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: "web\\nkind: Pod\\u2028a: \\e[31m", unknown: 1}
spec:
  secretStoreRef: {name: aws}
  data: [{secretKey: a, remoteRef: {key: b}}]
  target:
    template:
      data:
        a: "{{ if .a }}\\r\\nkind: Pod\\u2028---\\u0085x: \\e[31m{{ end }}"
"""
    done = convert("-f", "-", given=text)

    (body,) = yaml.safe_load_all(done.stdout)
    assert (body["kind"], body["metadata"]["name"]) == ("ManagedSecret", "web\nkind: Pod\u2028a: \x1b[31m")
    assert "\x1b" not in done.stdout + done.stderr

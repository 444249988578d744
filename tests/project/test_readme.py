"""Numbers, commands and manifests of the README are those of the code."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from keyturn import __version__
from keyturn.cli.commands import main
from keyturn.core.policy.rules import LEAST_BITS
from keyturn.generators import discover as generators
from keyturn.kube import paths
from keyturn.stores.providers import discover as providers
from sandbox.databases.programs import RELEASES
from tests.conftest import ROOT
from tests.project.test_comparison_page import WRITTEN

_README = (ROOT / "README.md").read_text()
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_CHART = ROOT / "charts" / "keyturn"


def prose() -> str:
    """Return the README as one line, without code blocks, headings, link targets and the table of pages."""
    text, _, _ = _README.partition("\n## Documentation\n")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(?:#|<!--).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return " ".join(re.sub(r"^- ", "", text, flags=re.MULTILINE).split())


def test_each_number_is_that_of_the_code() -> None:
    assert f"{len(generators())} generators" in prose()
    assert f"at least {LEAST_BITS} bits per secret" in prose()
    # The writers are those that tests/project/test_comparison_page.py counts.
    assert f"from {len(providers())} kinds of stores and to {len(WRITTEN)} of them" in prose()
    assert f"at PostgreSQL** {RELEASES[0]} to {RELEASES[-1]}" in prose()
    assert f"Alpha: {__version__} is unreleased" in prose()
    assert f"`{paths.OURS.rpartition('/')[2]}`" in prose()
    assert f"Python {_PROJECT['requires-python'].removeprefix('>=')} or newer" in prose()
    assert _PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_a_released_version_is_not_called_unreleased() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    heading = re.search(rf"^## \[{re.escape(__version__)}\] \S (\S+)$", changelog, re.MULTILINE)

    assert heading
    assert heading[1] == "unreleased"


def test_no_image_is_named_that_another_could_publish() -> None:
    deployment = (ROOT / "manifests" / "base" / "operator" / "deployment.yaml").read_text()
    images = re.findall(r"^ +image: (\S+)$", deployment, re.MULTILINE)

    assert [image.partition("/")[0] for image in images] == ["keyturn.invalid"]
    assert yaml.safe_load((_CHART / "values.yaml").read_text())["image"]["repository"] == ""


def test_the_first_manifest_is_an_excerpt_of_the_example_that_is_applied() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", _README, re.MULTILINE | re.DOTALL)
    (applied,) = (one for one in typed() if one.startswith("kubectl apply "))
    objects = list(yaml.safe_load_all((ROOT / shlex.split(applied)[-1]).read_text()))
    shown = yaml.safe_load(block)
    (whole,) = (one for one in objects if named(one) == named(shown))

    assert excerpt(shown, whole) == shown
    assert "DatabaseTarget" in {one["kind"] for one in objects}


def named(body: dict[str, Any]) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def excerpt(shown: Any, whole: Any) -> Any:
    """Return what a manifest has in the fields that an excerpt shows."""
    if not isinstance(shown, dict) or not isinstance(whole, dict):
        return whole
    return {key: excerpt(part, whole[key]) for key, part in shown.items() if key in whole}


# Commands


def typed() -> Iterator[str]:
    for block in re.findall(r"^```console\n(.*?)^```$", _README, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    yield from re.findall(r"`(make [a-z-]+)`", _README)


def test_there_are_commands_of_each_program() -> None:
    assert {"docker", "helm", "keyturn", "kubectl", "make"} <= {shlex.split(one)[0] for one in typed()}


@pytest.mark.parametrize("command", sorted({one for one in typed() if one.startswith("keyturn ")}))
def test_a_command_of_keyturn_is_accepted_with_its_options(command: str) -> None:
    group: click.Command = main
    words = shlex.split(command)[1:]
    while isinstance(group, click.Group):
        name = words.pop(0)
        assert name in group.commands
        group = group.commands[name]

    assert group.make_context(group.name, words).params


@pytest.mark.parametrize("command", sorted({one for one in typed() if one.startswith("make ")}))
def test_a_target_of_make_exists(command: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(shlex.split(command)[1:]) <= set(targets)


def test_the_commands_of_docker_and_helm_name_what_exists() -> None:
    (install,) = (shlex.split(one) for one in typed() if one.startswith("helm "))
    set_ = dict(word.split("=") for word in install if "=" in word)
    schema = json.loads((_CHART / "values.schema.json").read_text())

    assert (ROOT / "Dockerfile").is_file()
    assert install[1:4] == ["install", "keyturn", "dist/charts/keyturn"]
    assert "dist/charts" in (ROOT / "Makefile").read_text()
    assert list(set_) == ["image.repository"]
    assert "repository" in schema["properties"]["image"]["properties"]
    assert set(re.findall(rf"{re.escape(set_['image.repository'])}:(\S+?)`? ", _README)) == {__version__}


def test_the_namespace_is_labelled_as_the_page_on_helm_says() -> None:
    (command,) = (one for one in typed() if one.startswith("kubectl label "))

    assert f"$ {command}\n" in (ROOT / "docs" / "install" / "helm.md").read_text()


def test_the_command_line_is_installed_as_its_page_says() -> None:
    (command,) = re.findall(r"`(pipx [^`]+)`", _README)

    assert f"$ {command}\n" in (ROOT / "docs" / "install" / "index.md").read_text()
    assert "cli" in _PROJECT["optional-dependencies"]
    assert {"keyturn", "kubectl-keyturn"} <= _PROJECT["scripts"].keys()

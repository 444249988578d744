"""Each statement of the README is true: it is computed here, or a test that exists shows it."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from keyturn import __version__
from keyturn.cli.commands import main
from keyturn.core.policy.strength import LEAST_BITS
from keyturn.generators import discover as generators
from keyturn.kube import paths
from keyturn.stores.providers import discover as providers
from sandbox.databases.programs import RELEASES
from tests.conftest import ROOT
from tests.project.test_comparison_page import WRITTEN

if TYPE_CHECKING:
    from collections.abc import Iterator

_README = (ROOT / "README.md").read_text()
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_CHART = ROOT / "charts" / "keyturn"
_CONTROLLERS = "tests/cluster/controllers/managedsecret"
_HERE = "tests/project/test_readme.py"
_NUMBERS = (f"{_HERE}::test_each_number_is_that_of_the_code",)

SHOWN_BY: dict[str, tuple[str, ...]] = {
    "Kubernetes operator that generates, rotates and rolls out secrets, with health-gated rollback.": (
        "tests/demo/test_demo.py::test_it_shows_the_whole_life_of_a_secret_and_leaves_nothing_behind",
    ),
    "Alpha: 0.1.0 is unreleased, the API is `v1alpha1` · Kubernetes 1.34 to 1.37 · Python on kopf · Apache-2.0": (
        *_NUMBERS,
        "tests/project/test_support.py::test_no_page_says_anything_else",
    ),
    "The example has the ManagedSecret above, a PostgreSQL and its DatabaseTarget.": (
        f"{_HERE}::test_the_first_manifest_is_an_excerpt_of_the_example_that_is_applied",
    ),
    "Without an overlap, the server refuses the old password when the rotation is done:": (
        "tests/e2e/test_readme.py::test_the_new_password_is_accepted_and_the_old_one_refused_as_the_readme_shows",
    ),
    "**Generates** passwords, keys, certificates and more: 13 generators, at least 128 bits per secret.": (
        *_NUMBERS,
        "tests/unit/generators/test_contract.py::test_it_makes_a_secret",
    ),
    "**Pulls and pushes** values: from 9 kinds of stores and to 6 of them, such as AWS, Azure, GCP, Vault and"
    " OpenBao.": (
        *_NUMBERS,
        "tests/cluster/stores/providers/test_contract.py::test_it_reads_what_is_there",
        "tests/cluster/stores/providers/test_contract.py::test_what_is_written_is_read",
    ),
    "**Rotates** by interval, cron schedule or trigger, in maintenance windows, with an overlap for old values.": (
        f"{_CONTROLLERS}/test_rotations.py::test_several_missed_dates_are_one_rotation",
        f"{_CONTROLLERS}/test_rotations.py::test_a_cron_expression_is_read_in_its_time_zone",
        f"{_CONTROLLERS}/test_windows.py::test_a_trigger_waits_for_its_window_and_starts_in_it",
        f"{_CONTROLLERS}/test_overlap.py::test_the_value_before_is_readable_as_soon_as_the_new_one_is",
    ),
    "**Sets passwords at PostgreSQL** 12 to 18: a login proves each password before it is published, and old logins"
    " are closed and proven refused.": (
        f"{_HERE}::test_each_number_is_that_of_the_code",
        "tests/databases/test_contract.py::test_exactly_what_is_brought_logs_in",
        "tests/databases/test_contract.py::test_refusal_is_proven_between_two_logins_of_the_current_one",
        "tests/databases/operator/test_rotation.py::*",
    ),
    "A value that another server must learn is declared: then it rotates on request only, or when a changed spec no"
    " longer permits it.": (
        f"{_CONTROLLERS}/test_applied_by.py::test_a_value_that_a_server_must_learn_is_due_and_waits",
        "tests/simulation/test_on_request.py::test_a_change_of_the_spec_that_the_value_does_not_satisfy_replaces_it",
    ),
    "**Restarts** the workloads that use a changed key, in waves, and rolls back if pods do not become ready.": (
        f"{_CONTROLLERS}/test_consumers.py::test_a_workload_that_uses_only_unchanged_keys_is_not_restarted",
        f"{_CONTROLLERS}/test_rollouts.py::test_a_wave_starts_when_the_one_before_is_through",
        f"{_CONTROLLERS}/test_rollbacks.py::test_a_revision_with_which_pods_do_not_get_ready_is_taken_back",
    ),
    "**Never logs a value**, checked by tests, and repairs an edited or deleted Secret with the same values.": (
        "tests/leaks/test_leaks.py::test_no_value_is_found_outside_of_secrets_in_any_form",
        f"{_CONTROLLERS}/test_drift.py::test_the_secret_is_put_back_with_the_same_values",
    ),
    "| my values … | use | |---|---|": (),
    "| are in a secret manager that rotates them | External Secrets Operator with Reloader; Keyturn, which pulls them"
    " itself, for restarts with rollback |": (
        f"{_CONTROLLERS}/test_windows.py::test_a_value_that_changed_in_a_store_ignores_windows_on_request",
        "tests/project/test_comparison_page.py::test_each_source_is_named_and_used",
    ),
    "| are written by many tools, and workloads must restart | Reloader |": (
        "tests/project/test_comparison_page.py::test_each_source_is_named_and_used",
    ),
    "| are generated, or need rotation, restarts and rollback | Keyturn, also next to these tools |": (
        "tests/cluster/offline/test_migration.py::test_a_secret_is_taken_over_with_its_values_and_no_workload_restarts",
    ),
    "Install with Helm (other ways).": (
        "tests/install/test_chart_life.py::*",
        "tests/install/test_ways.py::*",
    ),
    "No image is published yet, so build one first:": (
        f"{_HERE}::test_no_image_is_named_that_another_could_publish",
    ),
    "On kind, `kind load docker-image registry.example.com/keyturn:0.1.0` replaces the push (`minikube image load` on"
    " minikube).": (f"{_HERE}::test_the_commands_of_docker_and_helm_name_what_exists",),
    "`pipx install '.[cli]'` installs the command line `keyturn`, and its plugin for kubectl, from the checkout.": (
        f"{_HERE}::test_the_command_line_is_installed_as_its_page_says",
    ),
    "`make demo` shows the whole life of a secret on a control plane on your machine, without containers and without"
    " root.": (
        "tests/demo/test_demo.py::test_it_shows_the_whole_life_of_a_secret_and_leaves_nothing_behind",
    ),
    "It needs Linux, Python 3.11 or newer with venv, `make` and `git`.": _NUMBERS,
    # A time of an idle machine, which no test asserts.
    "The first run builds the control plane from source; later runs take about a minute.": (
        "tests/sandbox/test_cache.py::*",
    ),
    "`make demo-database` rotates the password of a real PostgreSQL while an application uses it.": (
        "tests/demo/test_database.py::*",
    ),
}
"""Every statement of the README, without its links, and the tests that fail when it is false."""


def prose() -> str:
    """Return the README as one line, without code blocks, headings, link targets and the table of pages."""
    text, _, _ = _README.partition("\n## Documentation\n")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(?:#|<!--).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return " ".join(re.sub(r"^- ", "", text, flags=re.MULTILINE).split())


def test_every_statement_is_listed_and_every_listed_one_stands_there() -> None:
    rest = prose()
    absent = [statement for statement in SHOWN_BY if statement not in rest]
    for statement in SHOWN_BY:
        rest = rest.replace(statement, "")

    assert (absent, rest.split()) == ([], [])


@pytest.mark.parametrize("shown_by", sorted({test for tests in SHOWN_BY.values() for test in tests}))
def test_the_test_of_a_statement_exists(shown_by: str) -> None:
    path, _, name = shown_by.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    functions = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}

    assert name in functions or (name == "*" and any(one.startswith("test_") for one in functions))


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
    page = (ROOT / "docs" / "install" / "helm.md").read_text()
    (command,) = (one for one in typed() if one.startswith("kubectl label "))

    assert f"$ {command}\n" in page
    assert f"$ {command}\n" in (ROOT / "docs" / "getting-started.md").read_text()


def test_the_command_line_is_installed_as_its_page_says() -> None:
    (command,) = re.findall(r"`(pipx [^`]+)`", _README)

    assert f"$ {command}\n" in (ROOT / "docs" / "install" / "command-line.md").read_text()
    assert "cli" in _PROJECT["optional-dependencies"]
    assert {"keyturn", "kubectl-keyturn"} <= _PROJECT["scripts"].keys()

"""The points of the checklist hold on a real API server, for whoever asks."""

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import ControlPlane
from sandbox.harness import Kubectl
from tests.cluster.checklist.audit_command import audited
from tests.cluster.namespace import Space, bytes_, literal
from tests.leaks.scan import leaks
from tests.support.console import Console

WEAK = "hunter2"
_FORMS = ("table", "json", "sarif")


def put(space: Space, name: str, type_: str = "Opaque", **values: str) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    space.create({"kind": "Secret", "metadata": {"name": name}, "type": type_, "data": data})


# Point 1


def test_a_weak_value_of_an_unmanaged_secret_is_found_by_its_key(space: Space, console: Console) -> None:
    put(space, "weak", password=WEAK, token=secrets.token_hex(16))
    put(space, "strong", password=secrets.token_urlsafe(32))

    done = audited(console, "--only", "strength")

    assert done.code == 1
    assert done.found("Fail") == [
        (f"{space.namespace}/weak", "key password looks weak: estimated below 32 characters or 128 bits")
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"username": "shop", "host": "db", "port": "5432", "DB_NAME": "shop"},
        {"debug": "true", "retries": "3", "empty": ""},
        {"config.json": '{"a": 1}', "url": "https://shop.test/", "notes": "one\ntwo\n"},
        {"ca.crt": "x", "tls.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n"},
    ],
    ids=["names", "switches", "documents", "certificates"],
)
def test_what_is_no_secret_is_not_judged(space: Space, console: Console, values: dict[str, str]) -> None:
    put(space, "settings", **values)

    assert audited(console, "--only", "strength").code == 0


def test_a_broken_rule_of_a_class_is_reported(space: Space, console: Console, class_: Any) -> None:
    class_.write(maxInterval="30d", enforcement="Warn")
    space.managed(className=class_.name, rotation={"every": "90d"})

    done = audited(console, "--only", "schedule")

    ((where, evidence),) = done.found("Fail")
    assert where == f"{space.namespace}/auth"
    assert "maxInterval" in evidence
    assert audited(console, "--only", "strength").code == 0


def test_more_secrets_than_a_page_has_are_all_looked_at(space: Space, console: Console) -> None:
    for number in range(120):
        put(space, f"weak-{number}", password=WEAK)

    assert len(audited(console, "--only", "strength").found("Fail")) == 120


# Point 3


@pytest.fixture
def staging(space: Space, other: Space, kubectl: Kubectl) -> Space:
    """Another namespace, of another environment."""
    kubectl("label", "namespace", other.namespace, "keyturn.dev/environment=staging")
    kubectl("label", "namespace", space.namespace, "keyturn.dev/environment=production")
    return other


def test_production_must_not_share_a_value(space: Space, staging: Space, console: Console) -> None:
    shared = secrets.token_urlsafe(32)
    put(space, "db", password=shared, username="shop", other=secrets.token_urlsafe(32))
    put(staging, "database", pw=shared, username="shop", other=secrets.token_urlsafe(32))

    done = audited(console, "--only", "environments", everywhere=True)

    # Other tests' namespaces are looked at as well.
    assert [one for one in done.found("Fail") if str(one[0]).startswith(f"{space.namespace}/")] == [
        (
            f"{space.namespace}/db",
            f"key password has the value of key pw of {staging.namespace}/database (staging)",
        )
    ]


def test_for_one_namespace_alone_the_operator_has_compared(
    space: Space, staging: Space, console: Console
) -> None:
    space.managed(bytes_("token"))
    data = space.get("Secret", "auth")["data"]
    staging.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": data})
    staging.managed(bytes_("token"), target={"adopt": "IfUnowned"})
    space.until_condition("PolicyCompliant", "False", "sharedValue")

    ((where, evidence),) = audited(console, "--only", "environments").found("Fail")

    assert where == f"{space.namespace}/auth"
    assert staging.namespace not in evidence


def test_two_contexts_must_not_share_a_value(
    space: Space, staging: Space, console: Console, tmp_path: Path
) -> None:
    shared = secrets.token_urlsafe(32)
    put(space, "db", password=shared)
    put(staging, "database", pw=shared, own=secrets.token_urlsafe(32))
    here = _with_contexts(console, tmp_path, production=space.namespace, staging=staging.namespace)

    done = audited(here, "--only", "environments", "--context=production", "--compare-context=staging")

    assert (
        f"{space.namespace}/db",
        f"key password has the value of key pw of {staging.namespace}/database in staging",
    ) in done.found("Fail")


def test_a_context_that_is_not_there_is_said(console: Console) -> None:
    done = audited(console, "--only", "environments", "--compare-context=nowhere")

    assert (done.code, done.printed) == (2, "")
    assert "nowhere" in done.errors


def _with_contexts(console: Console, folder: Path, **namespaces: str) -> Console:
    assert console.kubeconfig
    content = yaml.safe_load(console.kubeconfig.read_text())
    context = content["contexts"][0]["context"]
    content["contexts"] = [
        {"name": name, "context": {**context, "namespace": namespace}}
        for name, namespace in namespaces.items()
    ]
    content["current-context"] = next(iter(namespaces))
    path = folder / "contexts"
    path.write_text(yaml.safe_dump(content))
    return Console(path, "")


# Points 4 and 5


def test_encryption_at_rest_is_proven_by_the_api_server(space: Space, console: Console) -> None:
    put(space, "any", value="1")

    done = audited(console, "--only", "at-rest")

    assert done.code == 0
    assert done.found("Pass") == [(None, "the API server that answered encrypts what it writes: aescbc")]


def test_access_logging_is_not_believed(console: Console) -> None:
    done = audited(console, "--only", "access-log")

    assert done.code == 2
    assert "not proven" in done.found("Unknown")[0][1]
    assert audited(console, "--only", "access-log", "--allow-unknown").code == 0


@pytest.fixture(scope="module")
def plain() -> Iterator[Console]:
    """Somebody who may do everything in a cluster without Keyturn that encrypts nothing."""
    with ControlPlane.start(apiserver_flags=["--encryption-provider-config="]) as plane:
        yield Console(plane.kubeconfig, "default")


def test_without_encryption_the_point_fails(plain: Console) -> None:
    from sandbox.harness import Kubectl  # noqa: PLC0415 - not to shadow the type

    assert plain.kubeconfig
    Kubectl(plain.kubeconfig)("create", "secret", "generic", "any", "--from-literal=password=hunter2")

    done = audited(plain, "--only", "at-rest")

    assert done.code == 1
    assert done.found("Fail") == [(None, "the API server has written Secrets and encrypted none")]


def test_a_cluster_without_keyturn_is_looked_at_as_far_as_it_goes(plain: Console) -> None:
    done = audited(plain, "--only", "strength", "--only", "schedule", "--only", "revocation")

    assert {evidence for _, evidence in done.found("Unknown")} == {"Keyturn is not installed there"}
    assert done.code in {1, 2}


# Rights


def test_what_the_caller_may_not_read_is_said_with_the_right_to_ask_for(
    space: Space, viewer: Console
) -> None:
    value = secrets.token_urlsafe(10)
    put(space, "weak", password=value)

    done = audited(viewer)

    assert done.code == 2
    assert {
        one["point"]: one["evidence"] for one in done.document["findings"] if one["verdict"] == "Unknown"
    } == {
        "strength": f"you may not list secrets in namespace {space.namespace}",
        "at-rest": "you may not get /metrics of the API server",
        "access-log": "you may not get /metrics of the API server",
        "recovery": "no recovery was tested",
    }
    remedies = {one["point"]: one["remedy"] for one in done.document["findings"]}
    assert "nonResourceURLs: [/metrics]" in remedies["at-rest"]
    assert remedies["strength"] == f"ask for the right to list secrets in namespace {space.namespace}"


def test_a_user_who_may_not_list_everywhere_gets_a_message(viewer: Console) -> None:
    done = audited(viewer, "--only", "environments", everywhere=True)

    assert done.code == 2
    assert done.found("Unknown")[0][1] == "you may not list namespaces in all namespaces"


# Point 6


def written(console: Console, path: Path) -> str:
    path.write_text(console("audit", "schedule"))
    return path.read_text()


def test_the_schedule_that_was_just_written_is_true(space: Space, console: Console, tmp_path: Path) -> None:
    space.managed(rotation={"every": "90d"}, owner="a|b\\ <script>\nx | y `z`")
    space.managed(name="cron", rotation={"schedule": {"cron": "0 3 1 * *", "timeZone": "Europe/Berlin"}})
    text = written(console, tmp_path / "SCHEDULE.md")

    done = audited(console, "--only", "schedule", "--schedule", str(tmp_path / "SCHEDULE.md"))

    assert (done.code, done.found("Fail")) == (0, [])
    padded = text.replace("| --- ", "| :-------- ").replace("| every", "|   every")
    (tmp_path / "SCHEDULE.md").write_text(f"{padded}\n{' ' * 2_000_000}")  # as formatters leave it, and large
    done = audited(console, "--only", "schedule", "--schedule", str(tmp_path / "SCHEDULE.md"))
    assert (done.code, done.found("Fail")) == (0, [])
    assert "| every 90d | 1h |" in text
    assert "| at 0 3 1 * * (Europe/Berlin) | 1h |" in text
    assert "<script>" not in text


def test_what_a_schedule_does_not_say_is_found(space: Space, console: Console, tmp_path: Path) -> None:
    path = tmp_path / "SCHEDULE.md"
    space.managed(rotation={"every": "90d"})
    space.managed(name="gone", rotation={"every": "90d"})
    written(console, path)
    space.respec(lambda spec: spec["rotation"].update(every="30d"))
    space.delete("ManagedSecret", "gone")
    space.managed(name="new", rotation={"every": "90d"})

    done = audited(console, "--only", "schedule", "--schedule", str(path))

    assert done.code == 1
    assert dict(done.found("Fail")) == {
        f"{space.namespace}/auth": "the schedule differs from the cluster",
        f"{space.namespace}/gone": "the schedule has it, and the cluster does not",
        f"{space.namespace}/new": "the schedule does not have it",
    }


def test_what_ends_automatically_needs_no_schedule(space: Space, console: Console) -> None:
    tls = {"certificate": {"commonName": "shop", "dnsNames": ["shop.test"]}}
    space.managed({"name": "tls", "generate": tls})

    assert audited(console, "--only", "schedule").found("Fail") == []
    assert "| before it ends |" in console("audit", "schedule")


def test_what_only_leaves_out_never_rotates(space: Space, console: Console) -> None:
    space.managed(bytes_("one"), bytes_("two"), rotation={"every": "90d", "only": ["one"]})

    found = audited(console, "--only", "schedule").found("Fail")

    assert found == [(f"{space.namespace}/auth", "rotation.only leaves out two")]


def test_values_that_never_rotate_are_named(space: Space, console: Console) -> None:
    space.managed()

    found = audited(console, "--only", "schedule").found("Fail")

    assert found == [(f"{space.namespace}/auth", "it has no rotation schedule")]


@pytest.mark.parametrize("content", ["", "\0\xff|||", "| a | b |\n" * 10_000, "| --- | x |"])
def test_a_file_that_is_no_schedule_has_no_row(
    space: Space, console: Console, tmp_path: Path, content: str
) -> None:
    space.managed(rotation={"every": "90d"})
    (tmp_path / "x.md").write_text(content)

    done = audited(console, "--only", "schedule", "--schedule", str(tmp_path / "x.md"))

    assert done.found("Fail") == [(f"{space.namespace}/auth", "the schedule does not have it")]


def test_a_schedule_that_cannot_be_read_is_said(console: Console, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")

    for name in ("nowhere", "link", "."):
        done = audited(console, "--only", "schedule", "--schedule", str(tmp_path / name))
        assert (done.code, done.printed) == (2, "")
        assert done.errors.count("\n") == 1


# Point 8


# What may not be told


@pytest.mark.parametrize("form", _FORMS)
def test_no_report_and_no_error_holds_a_value(
    space: Space, staging: Space, console: Console, viewer: Console, form: str
) -> None:
    weak, shared = "canary-" + "ab" * 9, secrets.token_urlsafe(32)
    put(space, "weak", password=weak, shared=shared)
    put(staging, "weak", other=weak, shared=shared)
    space.managed(literal("given", weak))
    values = [weak.encode(), shared.encode()]

    answers = {
        who: audited(somebody, "-o", form, everywhere=everywhere)
        for who, somebody, everywhere in (
            ("all", console, True),
            ("one", console, False),
            ("viewer", viewer, False),
        )
    }

    for who, done in answers.items():
        assert len(done.printed) > 200, who
        assert leaks(values, {who: (done.printed + done.errors).encode()}) == set()

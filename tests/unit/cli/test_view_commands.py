"""`keyturn status`, `history`, `plan` and the emergency commands of several objects, and in every format."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from sandbox.harness import eventually
from tests.support.cases import case, cases
from tests.support.console import Console, cells
from tests.unit.cli.fake_api import FakeApi, fake_api, managed
from tests.unit.cli.test_errors import at


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api(
        FakeApi(
            managed("auth", labels={"team": "auth"}),
            managed("queue", stalled="there is no class"),
            managed("mail", "post", labels={"team": "auth"}),
            namespaces=("shop", "post"),
        )
    ) as api:
        yield api


def names(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()[1:]]


# Status


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ((), ["queue", "auth"]),
        (("auth", "queue"), ["queue", "auth"]),
        (("-l", "team=auth"), ["auth"]),
        (("-l", "team=auth", "-A"), ["post", "shop"]),
    ],
    ids=str,
)
def test_status_shows_what_is_chosen(chosen: tuple[str, ...], shown: list[str], console: Console) -> None:
    assert names(console.run("status", *chosen).stdout) == shown


def test_status_of_a_name_that_is_not_there_shows_the_others_and_fails(console: Console) -> None:
    done = console.run("status", "auth", "none")

    assert (done.returncode, names(done.stdout)) == (1, ["auth"])
    assert done.stderr.startswith("Error: ")
    assert done.stderr.endswith("auth, queue\n")


def test_status_names_the_class_that_applies_also_if_it_is_the_default(
    api: FakeApi, console: Console
) -> None:
    api.put(managed("auth", className="standard"))
    api.put(managed("queue", spec={"className": "not-observed-yet"}))

    rows = json.loads(console.run("status", "-o", "json").stdout)["items"]

    assert {row["name"]: row["className"] for row in rows} == {
        "auth": "standard",
        "queue": "not-observed-yet",
    }


def test_yaml_says_what_json_says(console: Console) -> None:
    for chosen in ((), ("auth",)):
        as_json = console.run("status", *chosen, "-o", "json").stdout
        assert yaml.safe_load(console.run("status", *chosen, "-o", "yaml").stdout) == json.loads(as_json)


def test_yaml_has_no_letter_that_is_not_seen(api: FakeApi, console: Console) -> None:
    api.put(managed("auth", spec={"owner": "a\u202eb\x1b[31m"}))

    shown = console("status", "auth", "-o", "yaml")

    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert yaml.safe_load(shown)["owner"] == "a\u202eb\x1b[31m"


def test_status_prints_names_for_other_commands(console: Console) -> None:
    assert console.run("status", "-o", "name").stdout == (
        "managedsecret.keyturn.dev/queue\nmanagedsecret.keyturn.dev/auth\n"
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("status",), 1),
        (("status", "-o", "json"), 1),
        (("status", "-w", "-o", "name"), 1),
        (("history", "-l", "team=auth"), 1),
        (("history", "-l", "team=auth", "-o", "yaml"), 1),
        (("plan", "-l", "team=auth"), 1),
        (("audit", "--only", "schedule"), 2),
        (("audit", "schedule"), 2),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else None,
)
def test_a_namespace_that_does_not_exist_is_an_error(
    command: tuple[str, ...], code: int, console: Console
) -> None:
    done = replace(console, namespace="nonexist").run(*command)

    assert (done.returncode, done.stdout) == (code, "")
    assert "'nonexist' does not exist" in done.stderr


def test_whether_a_namespace_exists_may_be_unknown(api: FakeApi, console: Console) -> None:
    for name in ("auth", "queue"):
        api.delete(name)
    api.refused["GET", "/api/v1/namespaces/shop"] = 403

    assert "whether this namespace exists is unknown" in console("status")


def test_a_name_shows_the_leases_that_its_store_does_not_revoke(api: FakeApi, console: Console) -> None:
    leases = {
        "count": 2,
        "validUntil": ROTATED,
        "since": ROTATED,
        "message": "the lease could not be revoked",
    }
    api.put(managed("auth", unrevokedLeases=leases))

    assert console("status", "auth").endswith("\n\nNote: the lease could not be revoked\n")
    assert console.json("status", "auth")["unrevokedLeases"] == leases


# Status without an operator


_LONG_AGO = datetime(2026, 11, 1, 10, tzinfo=UTC)
_RENEWED = "2026-11-01T10:00:00Z"


def requested(
    body: dict[str, Any],
    made: datetime,
    field: str = '{"f:metadata": {"f:annotations": {"f:keyturn.dev/rotate": {}}}}',
) -> dict[str, Any]:
    """Let a user set a field of an object that has a request, before the operator's last status."""
    body["metadata"]["annotations"] = {"keyturn.dev/rotate": "leak"}
    times = {"status": datetime.now(UTC), "": made}
    body["metadata"]["managedFields"] = [
        {"subresource": subresource, "time": f"{time:%FT%TZ}", "fieldsV1": json.loads(field)}
        for subresource, time in times.items()
    ]
    return body


@cases(
    ("lease", "line", "code"),
    case("held", {}, "", 0),
    case(
        "released",
        {"holderIdentity": "", "renewTime": _RENEWED},
        "Operator: the Lease keyturn in namespace keyturn-system is free since <time>: no replica leads",
        3,
    ),
    case(
        "expired",
        {"renewTime": _RENEWED, "holderIdentity": "one", "leaseDurationSeconds": 10},
        "Operator: held by one, last renewed <time>: no replica leads",
        3,
    ),
    case(
        "none",
        None,
        "Operator: unknown: there is no Lease keyturn in namespace keyturn-system;"
        " POD_NAMESPACE names another one",
        0,
    ),
)
def test_status_ends_with_what_the_lease_says(
    lease: dict[str, Any] | None, line: str, code: int, api: FakeApi, console: Console
) -> None:
    api.delete("queue")
    api.lease = {**(api.lease or {}), **lease} if lease is not None else None

    shown = console.run("status")
    document = console.run("status", "-o", "json")

    assert (
        re.sub(r"(since |renewed )\w+( ago)?", r"\1<time>", shown.stdout.partition("\n\n")[2]).strip() == line
    )
    assert (shown.returncode, document.returncode) == (code, code)
    assert bool(document.stderr) == bool(line)


def test_status_for_who_may_not_read_the_lease_says_that_it_is_unknown(
    api: FakeApi, console: Console
) -> None:
    api.delete("queue")
    api.refused["GET", "/leases/keyturn"] = 403

    assert console("status").endswith(
        "\n\nOperator: unknown: you may not get leases in namespace keyturn-system\n"
    )


@pytest.mark.parametrize(
    ("leads", "age", "state"),
    [(False, 1, "Unseen"), (True, 1, "Ready"), (True, 90, "Unseen")],
    ids=["no leader", "just requested", "requested long ago"],
)
def test_a_rotation_that_was_requested_and_has_not_started_is_unseen(
    *, leads: bool, age: int, state: str, api: FakeApi, console: Console
) -> None:
    api.delete("queue")
    api.lease = {"holderIdentity": "one" if leads else ""}
    api.put(requested(managed("auth"), datetime.now(UTC) - timedelta(seconds=age)))

    done = console.run("status", "auth", "-o", "json")
    shown = json.loads(done.stdout)

    assert (shown["state"], done.returncode) == (state, 3 if not leads or state == "Unseen" else 0)
    assert ("has not started the rotation that was requested" in shown["message"]) == (state == "Unseen")


@cases(
    "status",
    case("handled", {"lastTrigger": "leak"}),
    case("handled with another", {"lastTrigger": "spec", "lastRotationTime": _RENEWED}),
    case("suspended", {"spec": {"suspend": True}}),
    case("stalled", {"stalled": "there is no class"}),
)
def test_a_request_that_is_answered_or_explained_is_not_unseen(
    status: dict[str, Any], api: FakeApi, console: Console
) -> None:
    api.put(requested(managed("auth", **status), _LONG_AGO))

    assert json.loads(console.run("status", "auth", "-o", "json").stdout)["state"] != "Unseen"


def test_a_changed_spec_that_is_not_reconciled_is_unseen(api: FakeApi, console: Console) -> None:
    api.put(requested(managed("auth", observedGeneration=0, lastTrigger="leak"), _LONG_AGO, '{"f:spec": {}}'))

    done = console.run("status", "auth")

    assert cells(done.stdout)[1][:2] == ["auth", "Unseen"]
    assert "has not reconciled the spec that was changed" in " ".join(done.stdout.split())
    assert done.returncode == 3


# Watching


def test_a_watch_prints_each_change_and_ends_with_ctrl_c(api: FakeApi, console: Console) -> None:
    with console.start("status", "--watch") as watching:
        eventually(lambda: api.is_watched, "it watches")
        api.put(managed("auth", revision=2))
        api.put(managed("auth", revision=2))  # nothing that is shown has changed
        api.put(managed("other"))
        api.delete("queue")
        assert watching.stdout
        lines = [watching.stdout.readline().split() for _ in range(6)]
        watching.send_signal(signal.SIGINT)
        rest, complaint = watching.communicate(timeout=60)

    assert [line[:3] for line in lines] == [
        ["NAME", "STATE", "REVISION"],
        ["queue", "Stalled", "1"],
        ["auth", "Ready", "1"],
        ["auth", "Ready", "2"],
        ["other", "Ready", "1"],
        ["queue", "Deleted", "1"],
    ]
    assert (rest, complaint, watching.returncode) == ("", "", 130)


def test_a_watch_that_breaks_off_misses_nothing(api: FakeApi, console: Console) -> None:
    with console.start("status", "auth", "-w", "-o", "json") as watching:
        assert watching.stdout
        printed = documents(watching.stdout)
        found = [next(printed)]
        eventually(lambda: api.is_watched, "it watches")
        api.end_watches()
        api.put(managed("queue", revision=7))
        api.put(managed("auth", revision=2))
        found.append(next(printed))
        api.delete("auth")
        found.append(next(printed))
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=60)

    assert [(one["name"], one["state"], one["revision"]) for one in found] == [
        ("auth", "Ready", 1),
        ("auth", "Ready", 2),
        ("auth", "Deleted", 2),
    ]


def documents(stream: IO[str]) -> Iterator[Any]:
    """Read the documents that a watch prints one after another."""
    text = ""
    for line in stream:
        text += line
        if line == "}\n":
            yield json.loads(text)
            text = ""


# History


def test_history_of_several_names_each(console: Console) -> None:
    header, *lines = [line.split() for line in console("history", "auth", "queue").splitlines()]

    assert header[:2] == ["NAME", "CURRENT"]
    assert [line[:3] for line in lines] == [["auth", "*", "1"], ["queue", "*", "1"]]
    documents = yaml.safe_load(console("history", "-l", "team=auth", "-A", "-o", "yaml"))["items"]
    assert [(one["namespace"], one["name"], len(one["revisions"])) for one in documents] == [
        ("post", "mail", 1),
        ("shop", "auth", 1),
    ]


def test_history_needs_to_know_of_what(console: Console) -> None:
    assert console.run("history").returncode == 2
    done = console.run("history", "auth", "none")
    assert (done.returncode, names(done.stdout)) == (1, ["auth"])


# Plans


def manifest(name: str = "new", namespace: str | None = None, **generate: object) -> str:
    body = managed(name)
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    data = [{"name": "password", "generate": {"password": generate}}]
    return json.dumps({**body, "metadata": metadata, "spec": {"data": data, "rotation": {"every": "90d"}}})


def test_several_manifests_are_planned_one_after_another(console: Console) -> None:
    given = "\n---\n".join([manifest("a", length=40), "kind: Secret", manifest("b")])

    shown = console("plan", "-f", "-", given=given)
    documents = console.json("plan", "-f", "-", given=given)["items"]

    titles = [line.partition(":")[0] for line in shown.splitlines() if line.startswith("ManagedSecret")]
    assert titles == ["ManagedSecret shop/a", "ManagedSecret shop/b"]
    assert [one["name"] for one in documents] == ["a", "b"]


def test_one_manifest_that_is_refused_keeps_no_other_from_being_planned(
    api: FakeApi, console: Console
) -> None:
    api.put(managed("a"))
    api.refused["PUT", "/managedsecrets/a"] = 422
    given = "\n---\n".join([manifest("a"), manifest("b")])

    done = console.run("plan", "-f", "-", given=given)

    assert done.returncode == 3
    assert done.stdout.startswith("ManagedSecret shop/b: ")
    assert "ManagedSecret a (Invalid: spec.rotation.every)" in done.stderr


def test_a_kind_of_another_group_is_another_kind(console: Console) -> None:
    foreign = {"apiVersion": "secrets.example.com/v1", "kind": "SecretClass", "metadata": {"name": "tls"}}
    given = "\n---\n".join([json.dumps(foreign), manifest("a")])

    assert console.json("plan", "-f", "-", given=given)["name"] == "a"


def test_a_manifest_is_planned_with_the_types_of_kubectl(console: Console) -> None:
    given = """
apiVersion: keyturn.dev/v1alpha1
kind: ManagedSecret
metadata: {name: new, labels: }
spec:
  data:
  - {name: since, literal: 2026-11-24}
  - {name: at, literal: 12:30:45}
  - {name: token, generate: {bytes: {}}}
  rotation: {every: 90d, trigger: 2026-11-24}
  rollout:
"""
    plan = console.json("plan", "-f", "-", given=given)

    assert (plan["refusals"], [one["name"] for one in plan["values"]]) == ([], ["since", "at", "token"])


MADE = {"name": "password", "generate": {"password": {}}}


def of(spec: dict[str, Any], name: str = "new") -> str:
    return json.dumps(json.loads(manifest(name)) | {"spec": spec})


# Templates


def test_each_key_of_a_template_is_planned(api: FakeApi, console: Console) -> None:
    templates = {"target": {"template": {"data": {"URL": "x://{{ password }}"}}}}
    api.put(managed("templated", spec=templates))
    api.refused["GET", "/secrets/"] = 403

    rendered = console("plan", "templated")
    new = console.json("plan", "-f", "-", given=of({"data": [MADE], **templates}))
    removed = console.json("plan", "-f", "-", given=of({"data": [MADE]}, name="templated"))

    assert "URL URL template is rendered" in " ".join(rendered.split())
    assert new["values"][-1] == {
        "name": "URL",
        "keys": ["URL"],
        "from": "template",
        "action": "Render",
        "why": "",
    }
    assert [(one["name"], one["action"]) for one in removed["values"]] == [
        ("password", "Keep"),
        ("URL", "Remove"),
    ]


# Several files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of manifests, beside what is none."""
    folder = tmp_path / "manifests"
    (folder / "below").mkdir(parents=True)
    (folder / "a.yaml").write_text(manifest("a"))
    (folder / "b.yml").write_text(f"kind: Secret\n---\n{manifest('b')}")
    (folder / "c.json").write_text(manifest("c"))
    (folder / "README.md").write_text("a: [")
    (folder / "below" / "d.yaml").write_text(manifest("d"))
    return folder


def test_every_file_is_planned(folder: Path, console: Console) -> None:
    files = ("-f", str(folder / "a.yaml"), "-f", "-")

    plans = console.json("plan", *files, given=manifest("new"))["items"]

    assert [one["name"] for one in plans] == ["a", "new"]


def test_a_folder_is_planned_without_its_subfolders(folder: Path, console: Console) -> None:
    plans = console.json("plan", "-f", str(folder))["items"]

    assert [one["name"] for one in plans] == ["a", "b", "c"]


def test_a_broken_file_before_another_one_is_refused(folder: Path, console: Console) -> None:
    done = console.run("plan", "-f", str(folder / "README.md"), "-f", str(folder / "a.yaml"))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {folder / 'README.md'}, line 2: this is not valid YAML\n"


def test_the_items_of_a_list_are_planned_also_without_a_kind_of_their_own(console: Console) -> None:
    item = {key: part for key, part in json.loads(manifest("a")).items() if key in {"metadata", "spec"}}
    typed = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecretList", "items": [item]}
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": [typed, json.loads(manifest("b"))]})

    assert [one["name"] for one in console.json("plan", "-f", "-", given=given)["items"]] == ["a", "b"]


def test_a_name_and_a_manifest_are_not_both_planned(folder: Path, console: Console) -> None:
    done = console.run("plan", "auth", "-f", str(folder))

    assert (done.returncode, done.stdout) == (2, "")


def test_a_manifest_has_its_own_namespace(api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(manifest(namespace="post"))
    console = at(api.url, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "keyturn", "plan", "-f", str(path)],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ManagedSecret post/new: ")


def test_a_plan_says_when_it_rotates_by_schedule(api: FakeApi, console: Console) -> None:
    fresh = managed("fresh", spec={"rotation": {"every": "90d"}})
    fresh["status"] = {}
    api.put(fresh)
    api.put(managed("never"))

    assert "  Scheduled    counted from the first revision" in console("plan", "fresh")
    assert "  Scheduled    none" in console("plan", "never")


def secret_class(name: str, *, is_default: bool = False, **spec: Any) -> dict[str, Any]:
    annotations = {"keyturn.dev/is-default-class": "true"} if is_default else {}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretClass", "metadata": metadata, "spec": spec}


def applied(body: dict[str, Any]) -> dict[str, Any]:
    """Make a class as the API server has it."""
    own = {"uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**body, "metadata": {**body["metadata"], **own}}


ROTATED = "2026-11-01T00:00:00Z"
HOURLY: dict[str, Any] = {"rotation": {"every": "1h"}}


@pytest.fixture
def aged(api: FakeApi) -> FakeApi:
    """Objects without a class, and of one without an interval, that have rotated long ago."""
    specs: dict[str, dict[str, Any]] = {
        "old": {},
        "named": {"className": "web"},
        "opted-out": {"className": ""},
        "suspended": {"suspend": True},
    }
    for name, spec in specs.items():
        api.put(managed(name, "post", spec=spec, lastRotationTime=ROTATED))
    api.put(applied(secret_class("web")))
    return api


def test_a_new_default_class_is_planned_with_what_becomes_due(aged: FakeApi, console: Console) -> None:
    spec = {"enforcement": "Warn", "minLength": 64, **HOURLY}
    given = json.dumps(secret_class("all", is_default=True, **spec))
    done = console.run("plan", "-f", "-", "-o", "json", given=given)
    plan = json.loads(done.stdout)

    assert done.returncode == 3
    assert (plan["kind"], plan["name"], plan["isNew"], plan["isDefault"]) == (
        "SecretClass",
        "all",
        True,
        True,
    )
    becomes = {(one["name"], one["becomes"]) for one in plan["effects"] if one["namespace"] == "post"}
    assert becomes >= {("old", "Due"), ("old", "Violating"), ("suspended", "Overdue")}
    assert not {"named", "opted-out"} & {name for name, _ in becomes}
    assert plan["managedSecrets"] == 5
    assert aged.patched == []


@pytest.mark.usefixtures("aged")
def test_a_changed_class_is_planned_for_those_that_name_it(console: Console) -> None:
    done = console.run("plan", "-f", "-", "-o", "json", given=json.dumps(secret_class("web", **HOURLY)))
    plan = json.loads(done.stdout)

    assert [(one["name"], one["becomes"]) for one in plan["effects"]] == [("named", "Due")]
    assert (plan["isNew"], plan["managedSecrets"]) == (False, 1)


@pytest.mark.usefixtures("aged")
def test_a_class_that_changes_nothing_ends_with_0(console: Console) -> None:
    given = json.dumps(secret_class("web", rotation={"every": "3650d"}))

    assert console.json("plan", "-f", "-", given=given)["effects"] == []
    assert "none due, overdue or violating" in console("plan", "-f", "-", given=given)


def test_a_contradictory_class_is_refused(console: Console) -> None:
    given = json.dumps(secret_class("odd", maxInterval="1d", rotation={"every": "2d"}))
    done = console.run("plan", "-f", "-", "-o", "json", given=given)

    assert done.returncode == 3
    assert [one["reason"] for one in json.loads(done.stdout)["refusals"]] == ["PolicyViolation"]


@pytest.mark.usefixtures("aged")
def test_a_manifest_with_a_class_and_its_managed_secret_plans_both(console: Console) -> None:
    body = json.loads(manifest("a"))
    body["spec"] = {"className": "fresh", "data": [{"name": "password", "generate": {"password": {}}}]}
    given = "\n---\n".join([json.dumps(secret_class("fresh", **HOURLY)), json.dumps(body)])

    of_class, of_secret = console.json("plan", "-f", "-", given=given)["items"]

    assert (of_class["kind"], of_class["effects"]) == ("SecretClass", [])
    assert (of_secret["kind"], of_secret["refusals"], of_secret["nextRevision"]) == ("ManagedSecret", [], 1)


@cases(("applied_by", "warns"), case("nothing", "Nobody", True), case("it is", "Application", False))
def test_a_plan_says_what_a_rotation_breaks(
    applied_by: str, api: FakeApi, console: Console, *, warns: bool
) -> None:
    api.put(managed("db", spec={"rotation": {"every": "90d", "appliedBy": applied_by}}))

    assert ("rotation changes password" in " ".join(console("plan", "db").split())) == warns


ON_REQUEST = {"rotation": {"every": "90d", "appliedBy": "Nobody"}}


@cases(
    ("generate", "has_state", "warns"),
    case("it may replace the value", {"password": {"length": 64}}, True, True),
    case("it replaces the value", {"bytes": {}}, True, True),
    case("it keeps the value", {"password": {}}, True, False),
    case("the value is lost", {"password": {}}, False, True),
)
def test_a_plan_says_what_a_change_of_the_spec_breaks(
    generate: dict[str, Any], api: FakeApi, console: Console, *, has_state: bool, warns: bool
) -> None:
    api.put(managed("db", spec=ON_REQUEST))
    if has_state:
        api.refused["GET", "/secrets/"] = 403  # so that the status says what there is
    body = json.loads(manifest("db"))
    body["spec"] = {"data": [{"name": "password", "generate": generate}], **ON_REQUEST}

    shown = " ".join(console("plan", "-f", "-", given=json.dumps(body)).split())

    assert ("this change gives password another value in the Secret alone" in shown) == warns


def test_several_names_are_planned_one_after_another(console: Console) -> None:
    shown = console.run("plan", "auth", "none").stdout

    assert [line for line in shown.splitlines() if line.startswith("ManagedSecret")] == [
        "ManagedSecret shop/auth: a rotation would make revision 2 of the Secret auth"
    ]


# Emergencies


def test_the_status_of_an_emergency_has_its_contacts(api: FakeApi, console: Console) -> None:
    api.put(
        {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "EmergencyRotation",
            "metadata": {"name": "inc-8", "namespace": "shop", "uid": "uid-8"},
            "spec": {"reason": "a leak", "names": ["auth"], "contact": "ada@shop.test"},
            "status": {"contacts": {"On-Call": "+1-555-0100"}},
        }
    )

    shown = console("emergency", "status", "inc-8")
    (document,) = yaml.safe_load(console("emergency", "status", "inc-8", "-o", "yaml"))["items"]

    assert {"Contact ada@shop.test", "On-Call +1-555-0100"} <= {
        " ".join(line.split()) for line in shown.splitlines()
    }
    assert document["contacts"] == {"On-Call": "+1-555-0100"}


def test_late_stages_of_an_emergency_are_marked(api: FakeApi, console: Console) -> None:
    started = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=25)
    api.put(
        {
            "kind": "EmergencyRotation",
            "metadata": {
                "name": "inc-8",
                "namespace": "shop",
                "uid": "uid-8",
                "creationTimestamp": started.isoformat(),
            },
            "spec": {"reason": "a leak", "names": ["auth"]},
            "status": {
                "rotatedAt": (started + timedelta(seconds=5)).isoformat(),
                "servicesUpdatedAt": (started + timedelta(hours=2)).isoformat(),
            },
        }
    )

    done = console.run("emergency", "status", "inc-8")

    assert done.returncode == 3
    row = " ".join(done.stdout.splitlines()[1].split())
    assert "after 5s after 2h (late) overdue -" in row


def test_an_emergency_with_values_of_a_store_ends_with_3_until_it_is_closed(
    api: FakeApi, console: Console
) -> None:
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    body: dict[str, Any] = {
        "kind": "EmergencyRotation",
        "metadata": {"name": "inc-8", "namespace": "shop", "uid": "uid-8", "creationTimestamp": now},
        "spec": {"reason": "a leak", "names": ["auth"]},
        "status": {
            "rotatedAt": now,
            "servicesUpdatedAt": now,
            "accessAuditAt": now,
            "secrets": [{"name": "auth", "state": "NothingToRotate", "elsewhere": 1}],
        },
    }
    api.put(body)
    assert console.run("emergency", "status").returncode == 3

    body["status"]["documentedAt"] = now
    api.put(body)
    assert console.run("emergency", "status").returncode == 0


def test_an_emergency_whose_status_cannot_be_read_hides_no_other(api: FakeApi, console: Console) -> None:
    for name, rotated in (("inc-8", "0000-01-01T00:00:00Z"), ("inc-9", "2026-11-01T00:00:00Z")):
        api.put(
            {
                "kind": "EmergencyRotation",
                "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"},
                "spec": {"reason": "a leak"},
                "status": {"rotatedAt": rotated},
            }
        )

    shown = console("emergency", "status", "-o", "name")

    assert sorted(shown.split()) == [f"emergencyrotation.keyturn.dev/{name}" for name in ("inc-8", "inc-9")]


def test_an_emergency_is_declared_and_acknowledged_for_programs(console: Console) -> None:
    declared = yaml.safe_load(
        console("emergency", "declare", "INC-7", "--reason", "a leak", "--all", "-o", "yaml")
    )
    acknowledge = ("emergency", "acknowledge", "INC-7", "--audit", "--by", "ada")

    assert declared["items"] == [
        {
            "namespace": "shop",
            "name": "inc-7",
            "incident": "INC-7",
            "changed": True,
            "secrets": ["auth", "queue"],
        }
    ]
    place = {"namespace": "shop", "name": "inc-7", "incident": "INC-7", "stage": "audit"}
    assert console.json(*acknowledge)["items"] == [place | {"changed": True, "acknowledgedBy": "ada"}]
    assert console(*acknowledge, "-o", "name") == "emergencyrotation.keyturn.dev/inc-7\n"


def test_a_namespace_that_refuses_an_acknowledgement_keeps_no_other_from_it(
    api: FakeApi, console: Console
) -> None:
    console("emergency", "declare", "INC-7", "--reason", "a leak", "--all", "-A", "--yes")
    api.refused["PATCH", "namespaces/post/"] = 403

    done = console.run("emergency", "acknowledge", "INC-7", "--report", "--by", "ada", "-A")

    assert (done.returncode, done.stdout) == (1, "emergencyrotation/inc-7 in shop report acknowledged\n")
    assert "  in post: forbidden: cannot patch emergencyrotations in namespace post" in done.stderr

"""`keyturn plan`: what it says is what then happens, and it changes nothing."""

import base64
import json
from typing import Any

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main
from keyturn.core.value import Value
from keyturn.kube import paths
from keyturn.kube.client import Api
from sandbox.harness import eventually
from tests.cluster.namespace import Space, bytes_, literal, password
from tests.cluster.workloads import deployment, env, env_from, stateful_set, volume
from tests.support.console import Console
from tests.support.objects import Body

ANYBODY = {"keyturn.dev/restart": "allow"}
NOBODY = {"keyturn.dev/restart": "never"}


def planned(plan: Any) -> tuple[set[str], list[list[str]]]:
    """Return which keys a plan replaces, and whom it restarts together with whom."""
    keys = {key for one in plan["values"] if one["action"] == "Replace" for key in one["keys"]}
    last = max((one["round"] or 0 for one in plan["workloads"]), default=0)
    rounds = [
        sorted(one["name"] for one in plan["workloads"] if one["round"] == number)
        for number in range(1, last + 1)
    ]
    return keys, rounds


def replaced(space: Space, before: dict[str, Value]) -> set[str]:
    return {key for key, value in space.values().items() if before.get(key) != value}


def restarted(space: Space, rounds: list[list[str]]) -> list[list[str]]:
    """Return who was restarted, in the order of the events, cut into pieces as long as the planned rounds."""
    count = sum(map(len, rounds))
    eventually(lambda: len(_restarts(space)) >= count, f"{count} events of restarts")
    names, pieces = _restarts(space), []
    for round_ in rounds:
        pieces.append(sorted(names[: len(round_)]))
        names = names[len(round_) :]
    return [*pieces, names] if names else pieces


def _restarts(space: Space) -> list[str]:
    events = [one for one in space.objects.all("Event", space.namespace) if one["reason"] == "Restarted"]
    return [one["regarding"]["name"] for one in sorted(events, key=lambda one: str(one["eventTime"]))]


def manifest(*data: Body, name: str = "auth", **spec: Any) -> str:
    """Write a manifest as a file has it."""
    return json.dumps(
        {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "ManagedSecret",
            "metadata": {"name": name},
            "spec": {"data": list(data), **spec},
        }
    )


def versions(space: Space) -> dict[str, str]:
    """Return the version of everything that a plan could have written."""
    return {
        f"{kind}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for kind in ("ManagedSecret", "Secret", "Deployment", "StatefulSet")
        for one in space.objects.all(kind, space.namespace)
    }


# What is planned happens


def a_shop(space: Space, at_a_time: int) -> None:
    """Have workloads of every kind of fate: some roll, in two waves, and some do not."""
    targets = [
        {"kind": "Deployment", "name": "late", "wave": 1},
        {"kind": "Deployment", "name": "first"},
        {"kind": "Deployment", "name": "friend", "wave": -1},
    ]
    space.manage(
        password(),
        bytes_(),
        literal("user", "shop"),
        rollout={"targets": targets, "maxConcurrent": at_a_time},
        rotation={"only": ["password"]},
    )
    for name, pod in {
        "late": env_from("auth"),
        "first": volume("auth"),
        "any": env("auth", "password"),
        "token-only": env("auth", "token"),
    }.items():
        space.run(deployment(name, pod))
    space.run(deployment("friend", env_from("another"), annotations=ANYBODY))
    space.run(deployment("stubborn", env_from("auth"), annotations=NOBODY))
    space.run(stateful_set("store", env("auth", "user", "password")))
    space.settled()


def test_a_rotation_does_what_was_planned(space: Space, console: Console) -> None:
    a_shop(space, at_a_time=2)
    before = space.values()

    plan = console.json("plan", "auth")
    console("rotate", "auth", "--wait")

    keys, rounds = planned(plan)
    assert keys == {"password"}
    assert (keys, rounds) == (replaced(space, before), restarted(space, rounds))
    assert space.status()["revision"] == plan["nextRevision"]


def test_a_plan_changes_nothing(space: Space, console: Console) -> None:
    a_shop(space, at_a_time=1)
    space.looked_at()
    space.settled()
    before = versions(space)

    console("plan", "auth")
    console("plan", "-f", "-", given=manifest(password(), bytes_("more")))

    assert versions(space) == before


# Who may see what


def test_without_any_right_on_secrets_the_plan_is_the_same(
    space: Space, console: Console, viewer: Console
) -> None:
    a_shop(space, at_a_time=1)
    console("rotate", "auth", "--wait")
    whole, partly = console.json("plan", "auth"), viewer.json("plan", "auth")

    assert partly.pop("notes") == [
        "you may not get Secrets: their existence and owner are taken from the status"
    ]
    assert whole.pop("notes") == []
    assert partly | {"startsAt": None} == whole | {"startsAt": None}


def test_no_value_is_read(space: Space, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    space.managed()
    asked: list[tuple[str, bool]] = []
    get, pages = Api.get, Api.pages

    def noted_get(self: Api, path: str, *rest: Any, metadata_only: bool = False) -> Any:
        asked.append((paths.resource(path), metadata_only))
        return get(self, path, *rest, metadata_only=metadata_only)

    def noted_pages(self: Api, path: str, *rest: Any, **options: Any) -> Any:
        asked.append((paths.resource(path), options.get("metadata_only", False)))
        return pages(self, path, *rest, **options)

    monkeypatch.setattr(Api, "get", noted_get)
    monkeypatch.setattr(Api, "pages", noted_pages)
    monkeypatch.setattr("keyturn.runtime.logs.configure", lambda *_: None)
    where = [f"--kubeconfig={console.kubeconfig}", f"--namespace={space.namespace}"]
    done = CliRunner().invoke(main, ["plan", "auth", *where], catch_exceptions=False)

    assert done.exit_code == 0
    assert {how for what, how in asked if what == "secrets"} == {True}


# Refusals


def refusals(console: Console, *arguments: str, given: str | None = None) -> list[dict[str, str]]:
    done = console.run("plan", *arguments, "-o", "json", given=given)
    assert done.returncode == 3
    found = json.loads(done.stdout)["refusals"]
    return list(found)


# Manifests


BASIC: dict[str, Any] = {"name": "login", "generate": {"basicAuth": {"username": "portal"}}}


def in_use(space: Space, username: str) -> None:
    texts = {"username": username, "password": "in-use-since-2019"}
    space.create({"kind": "Secret", "metadata": {"name": "auth"}, "stringData": texts})


def test_a_manifest_that_takes_over_a_secret_names_what_stays_what_follows_and_what_is_made(
    space: Space, console: Console
) -> None:
    in_use(space, "portal")
    space.run(deployment("api", env("auth", "password")))
    given = manifest(BASIC, bytes_(), target={"adopt": "IfUnowned"})

    plan = console.json("plan", "-f", "-", given=given)
    text = console("plan", "-f", "-", given=given)

    assert (plan["nextRevision"], plan["startsAt"] is None) == (2, False)
    assert {one["name"]: (one["action"], one["why"]) for one in plan["values"]} == {
        "login": ("Keep", "the Secret has it"),
        "token": ("Make", ""),
    }
    assert [(one["name"], one["restarted"]) for one in plan["workloads"]] == [("api", False)]
    assert "would take over the Secret auth as revision 1, then make revision 2\n\n  Starts" in text


def test_a_manifest_that_adopts_a_single_key_announces_the_next_one_of_its_ring(
    space: Space, console: Console
) -> None:
    key = base64.b64encode(base64.b64encode(bytes(32))).decode("ascii")
    space.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "auth"}, "data": {"primary": key}}
    )
    ring = {"name": "storage", "generate": {"keyRing": {}}}

    plan = console.json("plan", "-f", "-", given=manifest(ring, target={"adopt": "IfUnowned"}))

    assert (plan["nextRevision"], plan["startsAt"] is None) == (2, False)


def test_a_manifest_whose_adoption_would_replace_a_value_is_refused(space: Space, console: Console) -> None:
    in_use(space, "another")

    (refusal,) = refusals(console, "-f", "-", given=manifest(BASIC, target={"adopt": "IfUnowned"}))

    assert refusal["reason"] == "KeyConflict"
    assert "has values under password, username, which data item 'login' would replace" in refusal["message"]


def test_a_manifest_that_adds_a_value_makes_only_that(space: Space, console: Console) -> None:
    space.managed(password())
    space.run(deployment("api", env_from("auth")))
    space.run(deployment("shop", env("auth", "password")))

    plan = console.json("plan", "-f", "-", given=manifest(password(), bytes_(), rollout={"debounce": "0s"}))
    before = space.values()
    space.respec(lambda spec: spec["data"].append(bytes_()))
    space.settled(revision=2)

    assert {one["name"]: one["action"] for one in plan["values"]} == {"password": "Keep", "token": "Make"}
    assert planned(plan)[1] == restarted(space, [["api"]]) == [["api"]]
    assert replaced(space, before) == {"token"}


def test_a_manifest_that_changes_nothing_says_so(space: Space, console: Console) -> None:
    space.managed(password())

    plan = console.json("plan", "-f", "-", given=manifest(password()))

    assert (plan["nextRevision"], plan["workloads"]) == (None, [])
    assert "applying this would replace nothing" in console("plan", "-f", "-", given=manifest(password()))


def test_a_value_whose_settings_change_is_said_to_be_in_doubt(space: Space, console: Console) -> None:
    space.managed(password())

    plan = console.json("plan", "-f", "-", given=manifest(password(length=48)))

    assert plan["notes"] == [
        "password is replaced as well if the present value does not satisfy the new settings"
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("spec: [1]", "Invalid: spec"),
        ("spec: {data: [{name: a, generate: {password: {}}}], supend: true}", "BadRequest"),
        ("spec: {data: [{name: a, generate: {password: {}}}], suspend: maybe}", "Invalid: spec.suspend"),
        ("spec: {data: [{name: a, literal: canary, generate: {password: {}}}]}", "Invalid: spec.data[0]"),
        (
            "spec: {data: [{name: a, generate: {password: {length: 8}}}]}",
            "Invalid: spec.data[0].generate.password.length",
        ),
    ],
    ids=["no object", "an unknown field", "a wrong type", "a rule over two fields", "a weak value"],
)
def test_what_the_api_server_refuses_is_refused_without_a_value(
    body: str, reason: str, console: Console
) -> None:
    header = "apiVersion: keyturn.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: a}\n"
    done = console.run("plan", "-f", "-", given=header + body)

    assert done.returncode == 3
    assert done.stderr == (
        f"Error: the API server refuses the ManagedSecret a ({reason});"
        " kubectl apply --dry-run=server -f FILE says why\n"
    )


def test_without_the_right_to_apply_it_a_manifest_is_not_planned(space: Space, viewer: Console) -> None:
    space.managed(password())

    done = viewer.run("plan", "-f", "-", given=manifest(password(), bytes_()))

    assert done.returncode == 3
    assert "the API server refuses the ManagedSecret auth (Forbidden)" in done.stderr

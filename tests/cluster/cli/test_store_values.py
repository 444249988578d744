"""What people are told of a ManagedSecret whose values stores hold, and get: where, and never what."""

from tests.cluster.conftest import files  # noqa: F401  # stores of the same cluster
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Stores
from tests.support.console import Console, cells

CANARY = "canary-9Rk2-kept-in-a-store"
HERE = {"storeRef": {"name": "here"}, "remoteRef": {"key": "copy"}}


def test_they_see_where_values_come_from_and_go_to(
    space: Space,
    files: Stores,  # noqa: F811  # a fixture
    viewer: Console,
) -> None:
    files.keep("token", CANARY)
    files.keep_json("app", user=CANARY)
    files.write({"kubernetes": {}}, "here")
    space.manage(
        files.from_file("api-key", "token"), password(), dataFrom=[files.all_of("app", "APP_")], pushTo=[HERE]
    )
    space.until_condition("Pushed", "False", "ProviderError")  # a Secret of this cluster is only read

    plan = viewer.json("plan", "auth")
    asked = (("plan", "auth"), ("status", "auth"), ("history", "auth"))
    printed = [viewer.run(*words).stdout for words in asked]

    source = f"of ClusterSecretStore '{files.for_all}'"
    assert {one["name"]: (one["from"], one["action"]) for one in plan["values"]} == {
        "api-key": (f"key 'token' {source}", "Keep"),
        "password": ("password", "Replace"),
        "dataFrom[0]": (f"key 'app' {source}", "Keep"),
    }
    assert (plan["refusals"], plan["nextRevision"]) == ([], 2)
    assert any(
        note.startswith("not every store has the current values: pushTo: key 'copy'")
        for note in plan["notes"]
    )
    assert "ProviderError" in printed[1]
    assert CANARY not in "".join(printed)


def test_a_store_in_trouble_is_reported_and_a_rotation_is_still_planned(
    space: Space,
    files: Stores,  # noqa: F811  # a fixture
    viewer: Console,
) -> None:
    files.keep("token", CANARY)
    space.managed(files.from_file("token"), password())
    (files.files / "token").unlink()
    space.annotate("ManagedSecret", "auth", refresh="now")
    space.stalled("SourceNotFound")

    plan = viewer.json("plan", "auth")
    status = viewer.run("status", "auth")

    assert plan["refusals"] == []
    assert any("values of stores stay as last read" in note for note in plan["notes"])
    assert (status.returncode, cells(status.stdout)[1][1]) == (3, "Stalled")
    assert "SourceNotFound" in status.stdout


def test_the_history_reports_that_a_store_had_another_value(
    space: Space,
    files: Stores,  # noqa: F811  # a fixture
    console: Console,
) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"))
    files.keep("token", "second")
    space.annotate("ManagedSecret", "auth", refresh="now")
    space.settled(revision=2)

    assert [one["reason"] for one in console.json("history", "auth")["items"]] == ["Refreshed", "Created"]

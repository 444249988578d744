"""Values that stores hold, and what becomes of them, on a real API server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import password
from tests.cluster.workloads import deployment, env, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores

QUICKLY = {"debounce": "0s", "progressDeadline": "2s"}


def reason(space: Space, type_: str) -> str | None:
    condition = space.condition(type_)
    return condition["reason"] if condition else None


def test_a_value_is_read_where_it_is_kept(space: Space, files: Stores) -> None:
    files.keep("token", "kept-by-somebody-else")

    status = space.managed(files.from_file("api-key", "token"), password())

    assert space.values()["api-key"] == Value(b"kept-by-somebody-else")
    assert status["lastRefreshTime"] == status["lastRotationTime"]
    assert reason(space, "Refreshed") == "Read"


def test_a_part_of_a_document_goes_under_the_key_that_is_named(space: Space, files: Stores) -> None:
    files.keep_json("app", login={"password": "hunter2"}, port=5432)
    space.managed(
        files.from_file("port", "app", property="port"),
        files.from_file("secret", "app", property="login.password", keys={"value": "PASSWORD"}),
    )
    assert space.values() == {"port": Value(b"5432"), "PASSWORD": Value(b"hunter2")}

    space.respec(lambda spec: spec["data"][1].update(keys={"value": "DB_PASSWORD"}))
    status = space.settled(revision=2)

    assert space.values() == {"port": Value(b"5432"), "DB_PASSWORD": Value(b"hunter2")}
    assert status["history"][0]["reason"] == "SpecChanged"


def test_another_value_there_is_a_revision_and_rolls_who_uses_it(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), password(), refreshInterval="10s")
    space.run(deployment("api", env("auth", "token")))
    space.run(deployment("web", env("auth", "password")))
    before = space.values()

    files.keep("token", "second")
    status = space.settled(revision=2)

    assert space.values() == before | {"token": Value(b"second")}
    assert (space.marker("api"), space.marker("web")) == ("auth=2", None)
    assert space.until_event("Refreshed") == "revision 2 has the values of the stores"
    assert space.until_event("RolledOut") == "1 workload was restarted and runs revision 2"
    assert space.generation("Deployment", "api") == 2
    assert status["history"][0]["reason"] == "Refreshed"
    assert status["lastRotationTime"] < status["lastRefreshTime"]


def test_a_rotation_leaves_what_is_pulled_and_reads_nothing(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), password())
    before = space.values()

    files.keep("token", "second")
    status = space.rotated()

    after = space.values()
    assert after["token"] == before["token"]
    assert after["password"] != before["password"]
    assert status["lastRefreshTime"] <= status["lastRotationTime"]


def test_it_is_read_on_request_and_once_for_each_word(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    files.keep("token", "second")

    status = space.refreshed(revision=2)
    assert space.values() == {"token": Value(b"second")}
    assert status["lastRefresh"]

    files.keep("token", "third")
    space.looked_at()
    assert space.values() == {"token": Value(b"second")}


def test_a_request_that_finds_nothing_new_is_handled_and_changes_nothing(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    version = space.version("Secret", "auth")

    space.refreshed(revision=1)

    assert space.version("Secret", "auth") == version


def test_another_key_there_is_one_revision_and_one_restart(space: Space, files: Stores) -> None:
    files.keep("old", "first")
    files.keep("new", "second")
    space.managed(files.from_file("token", "old"))
    space.run(deployment("api", env_from("auth")))

    space.respec(lambda spec: spec["data"][0]["from"]["remoteRef"].update(key="new"))
    status = space.settled(revision=2)

    assert space.values() == {"token": Value(b"second")}
    assert space.marker("api") == "auth=2"
    assert space.generation("Deployment", "api") == 2
    assert status["history"][0]["reason"] == "SpecChanged"


def test_another_key_that_holds_the_same_restarts_no_workload(space: Space, files: Stores) -> None:
    files.keep("old", "same")
    files.keep("new", "same")
    space.managed(files.from_file("token", "old"))
    space.run(deployment("api", env_from("auth")))

    space.respec(lambda spec: spec["data"][0]["from"]["remoteRef"].update(key="new"))
    space.settled(revision=2)

    assert space.marker("api") is None


def test_other_settings_of_a_store_are_followed_at_once(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    (files.files / "other").mkdir()
    (files.files / "other" / "token").write_text("second")

    files.write_for_all({"files": {"path": str(files.files / "other")}})

    space.settled(revision=2)
    assert space.values() == {"token": Value(b"second")}


def test_one_that_is_written_once_stays_whatever_the_store_does(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), target={"immutable": True})
    files.keep("token", "second")

    files.write_files(refresh={"minInterval": "2s"})
    space.refreshed(revision=1)

    assert space.values() == {"token": Value(b"first")}


def test_a_suspended_one_reads_nothing_until_it_continues(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    space.respec(lambda spec: spec.update(suspend=True))
    space.until_condition("Ready", "True", "Suspended")

    files.keep("token", "second")
    asked = space.refresh()
    space.looked_at()
    assert space.values() == {"token": Value(b"first")}
    assert "lastRefresh" not in space.status()

    space.respec(lambda spec: spec.update(suspend=False))
    assert space.settled(revision=2)["lastRefresh"] == asked


def test_a_value_with_which_pods_fail_is_taken_back_until_there_is_another(
    space: Space, files: Stores
) -> None:
    files.keep("token", "good")
    space.managed(files.from_file("token"), rollout=QUICKLY, refreshInterval="30d")
    fails = {"sandbox.keyturn.dev/fails-with": "auth=2"}
    space.run(deployment("api", env_from("auth"), pod_annotations=fails))

    files.keep("token", "bad")
    space.refresh()
    space.stalled("RolledBack")
    assert (space.values(), space.revision()) == ({"token": Value(b"good")}, "1")

    asked = space.refresh()  # which finds the same once more
    space.until(lambda body: body["status"].get("lastRefresh") == asked, "it is read again")
    assert space.revision() == "1"

    files.keep("token", "better")
    space.refreshed(revision=3)
    assert space.values() == {"token": Value(b"better")}
    space.until_rolled("Deployment", "api")


def test_a_person_may_have_the_value_again_with_which_pods_failed(space: Space, files: Stores) -> None:
    files.keep("token", "good")
    space.managed(files.from_file("token"), password(), rollout=QUICKLY, refreshInterval="30d")
    fails = {"sandbox.keyturn.dev/fails-with": "auth=2"}
    space.run(deployment("api", env_from("auth"), pod_annotations=fails))
    files.keep("token", "bad")
    space.refresh()
    space.stalled("RolledBack")

    space.rotate()
    space.refreshed()

    assert space.values()["token"] == Value(b"bad")


def test_it_is_merged_into_what_another_writer_made(space: Space, files: Stores) -> None:
    space.foreign()
    files.keep("token", "first")
    space.managed(files.from_file("token"), target={"creationPolicy": "Merge"})
    assert space.values() == {"somebody": Value(b"else"), "token": Value(b"first")}

    files.keep("token", "second")
    space.refreshed(revision=2)
    assert space.values() == {"somebody": Value(b"else"), "token": Value(b"second")}


def test_what_is_adopted_gives_way_to_what_the_store_holds(space: Space, files: Stores) -> None:
    data = {"token": base64.b64encode(b"old").decode(), "password": base64.b64encode(b"p" * 40).decode()}
    space.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": data})
    files.keep("token", "new")

    space.manage(files.from_file("token"), password(), target={"adopt": "IfUnowned"})
    eventually(lambda: space.values().get("token") == Value(b"new"), "the store's value")

    space.settled()
    assert space.values()["password"] == Value(b"p" * 40)


def test_templates_are_rendered_over_it(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    template = {"template": {"data": {"URL": "https://{{ token }}@shop.test/{{ password | size }}"}}}
    space.managed(files.from_file("token"), password(), target=template)
    assert space.values()["URL"] == Value(b"https://first@shop.test/32")

    files.keep("token", "second")
    space.refreshed(revision=2)
    assert space.values()["URL"] == Value(b"https://second@shop.test/32")


def test_one_that_is_made_again_continues_with_what_was_read(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), password(), refreshInterval="30d")
    before = space.values()

    space.delete("ManagedSecret", "auth")
    space.managed(files.from_file("token"), password(), refreshInterval="30d")

    assert space.values() == before
    assert space.revision() == "1"

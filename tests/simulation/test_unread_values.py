"""What cannot be read from a store keeps neither an emergency nor the renewal of a certificate from happening."""

import base64
import traceback
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.keys import EmergencyKey
from keyturn.core.value import Value
from keyturn.stores.providers.errors import Unreachable
from tests.simulation.simulated_cluster import KEY, MANAGED, TARGET
from tests.simulation.simulated_stores import API, APP, StoreCluster
from tests.support.cases import case, cases

HOUR = timedelta(hours=1)
VAULT = {"kind": "SecretStore", "name": "vault"}
PASSWORD = {"name": "password", "generate": {"password": {}}}
CERTIFICATE = {
    "name": "tls",
    "generate": {"certificate": {"commonName": "a", "dnsNames": ["a"], "duration": "30d"}},
}


def every(key: str) -> dict[str, Any]:
    return {"storeRef": VAULT, "remoteRef": {"key": key}}


def pulled(name: str, key: str) -> dict[str, Any]:
    return {"name": name, "from": every(key)}


def registry(password: str) -> dict[str, Any]:
    of_password = {"registry": "r.example", "username": "u", "passwordFrom": {"name": password}}
    return {"name": "docker", "generate": {"dockerConfig": of_password}}


TYPO = pulled("api", "typo")
OURS = {"name": "user", "literal": "ours"}
OURS_ELSEWHERE = {**OURS, "keys": {"value": "other"}}


def plain(cluster: StoreCluster) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in cluster.data().items()}


async def begun(*data: dict[str, Any], **spec: Any) -> StoreCluster:
    cluster = StoreCluster({"data": list(data), "rotation": {"overlap": "0s"}, **spec})
    await cluster.settle()
    return cluster


def declare(cluster: StoreCluster) -> None:
    metadata = {
        "name": "leak",
        "namespace": KEY.namespace,
        "uid": "uid-of-leak",
        "resourceVersion": "1",
        "creationTimestamp": cluster.now.replace(microsecond=0).isoformat(),
    }
    declared = {"metadata": metadata, "spec": {"reason": "stolen", "names": [KEY.name]}, "status": {}}
    cluster.context.cache.put_emergency(EmergencyKey(KEY.namespace, "leak"), declared)


async def hours_pass(cluster: StoreCluster, hours: int = 2) -> None:
    for _ in range(hours):
        cluster.now += HOUR
        await cluster.settle()


def let_stores_answer(cluster: StoreCluster) -> None:
    cluster.outside.keep("typo", "there")
    cluster.outside.fails.clear()
    cluster.memory.stores.retry(KEY, cluster.now)


def problems(cluster: StoreCluster) -> dict[str, str]:
    every_one = cluster.objects[MANAGED]["status"]["conditions"]
    return {one["type"]: one["message"] for one in every_one}


async def test_an_added_value_that_cannot_be_read_comes_after_the_rotation_of_an_emergency() -> None:
    cluster = await begun(PASSWORD)
    before = plain(cluster)
    cluster.change_managed()["data"] = [PASSWORD, TYPO]
    await cluster.settle()
    declare(cluster)
    await hours_pass(cluster)
    rotated = plain(cluster)
    assert rotated.keys() == {"password"}
    assert rotated != before
    assert cluster.state().facts.newest.number == 2
    assert "typo" in problems(cluster)["Stalled"]

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster) == {**rotated, "api": "there"}
    assert cluster.state().facts.newest.number == 3


async def test_an_added_value_that_cannot_be_read_comes_after_the_renewal_of_a_certificate() -> None:
    cluster = await begun(CERTIFICATE)
    before = plain(cluster)
    cluster.change_managed()["data"] = [CERTIFICATE, TYPO]
    await cluster.settle()
    cluster.now += timedelta(days=25)
    await hours_pass(cluster)
    renewed = plain(cluster)
    assert renewed.keys() == before.keys()
    assert renewed["tls.crt"] != before["tls.crt"]

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster) == {**renewed, "api": "there"}


async def test_an_added_value_that_is_read_in_time_is_in_the_revision_of_the_emergency() -> None:
    cluster = await begun(PASSWORD)
    cluster.outside.keep("typo", "there")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keyturn.controllers.context._WORKER_WAIT", 0.01)
        answer = cluster.outside.hang("typo")
        cluster.change_managed()["data"] = [PASSWORD, TYPO]
        declare(cluster)
        for _ in range(4):
            cluster.tell()
            await cluster.look()
    reading = cluster.memory.stores.pulls.record(KEY).reading
    assert reading
    answer.set()
    await reading.task
    await cluster.settle()
    assert plain(cluster)["api"] == "there"
    assert cluster.state().facts.newest.number == 2


async def rotated_with(templates: dict[str, str], cluster: StoreCluster) -> dict[str, str]:
    """Return the values after an emergency, with other templates and an added value that cannot be read."""
    spec = cluster.change_managed()
    spec["data"] = [PASSWORD, TYPO]
    spec["target"] = {"template": {"data": templates}}
    declare(cluster)
    await hours_pass(cluster)
    return plain(cluster)


async def test_a_template_that_reads_the_added_value_stays_as_it_was() -> None:
    old, new = {"url": "x:{{ password }}"}, {"url": "{{ api }}:{{ password }}"}
    cluster = await begun(PASSWORD, target={"template": {"data": old}})
    before = plain(cluster)
    rotated = await rotated_with(new, cluster)
    assert rotated["password"] != before["password"]
    assert rotated["url"] == f"x:{rotated['password']}"

    let_stores_answer(cluster)
    await cluster.settle()

    assert cluster.state().facts.newest.number == 3
    assert plain(cluster)["url"] == f"there:{rotated['password']}"


async def test_a_template_that_reads_a_removed_value_stays_as_it_was() -> None:
    old, new = {"url": "{{ token }}:{{ password }}"}, {"url": "{{ api }}:{{ password }}"}
    token = {"name": "token", "generate": {"password": {}}}
    cluster = await begun(PASSWORD, token, target={"template": {"data": old}})
    before = plain(cluster)
    rotated = await rotated_with(new, cluster)
    assert rotated["password"] != before["password"]
    assert rotated == {"password": rotated["password"], "url": f"{before['token']}:{rotated['password']}"}

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster)["url"] == f"there:{rotated['password']}"


async def only_the_password_rotates(cluster: StoreCluster, before: dict[str, str]) -> str:
    """Declare an emergency and return the new password after hours without a store."""
    declare(cluster)
    await hours_pass(cluster)
    rotated = plain(cluster)
    assert rotated["password"] != before["password"]
    assert rotated == {**before, "password": rotated["password"]}
    return rotated["password"]


async def test_removed_values_of_stores_stay_until_those_that_take_their_places_are_read() -> None:
    cluster = StoreCluster({"data": [PASSWORD]})
    cluster.outside.keep("prod/a", {"a": "1"})
    cluster.outside.keep("prod/b", {"b": "2"})
    spec = {"dataFrom": [every("prod/a"), every("prod/b")], "rotation": {"overlap": "0s"}}
    cluster.change_managed().update(spec)
    await cluster.settle()
    before = plain(cluster)
    cluster.outside.fails["prod/b"] = Unreachable("Timeout")
    cluster.change_managed()["dataFrom"] = [every("prod/b")]
    rotated = await only_the_password_rotates(cluster, before)

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster) == {"password": rotated, "b": "2"}


async def test_a_generated_value_that_is_removed_does_not_stay_in_an_emergency() -> None:
    cluster = await begun(
        PASSWORD, {"name": "token", "generate": {"bytes": {}}}, {"name": "x", "literal": "y"}
    )
    cluster.change_managed()["data"] = [PASSWORD, TYPO]
    declare(cluster)
    await hours_pass(cluster)
    assert plain(cluster).keys() == {"password", "x"}

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster).keys() == {"password", "api"}


async def test_an_added_value_that_is_made_from_it_comes_with_it() -> None:
    cluster = await begun(PASSWORD)
    before = plain(cluster)
    cluster.change_managed()["data"] = [PASSWORD, registry("api"), TYPO]
    declare(cluster)
    await hours_pass(cluster)
    rotated = plain(cluster)
    assert rotated.keys() == {"password"}
    assert rotated != before

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster).keys() == {"password", "api", ".dockerconfigjson"}


@cases(
    ("data", "after"),
    case("renamed", [OURS_ELSEWHERE], {"user": "of-the-store", "other": "ours", "zone": "a"}),
    case(
        "renamed to another key of the entry",
        [{**OURS_ELSEWHERE, "keys": {"value": "zone"}}],
        {"user": "of-the-store", "zone": "ours"},
    ),
    case("added before it", [OURS, pulled("zone", API)], {"user": "ours", "zone": "first"}),
)
async def test_no_key_of_an_entry_of_data_from_is_lost_before_it_is_read(
    data: list[dict[str, Any]], after: dict[str, str]
) -> None:
    cluster = StoreCluster(
        {"data": [PASSWORD, OURS], "dataFrom": [every(APP)], "rotation": {"overlap": "0s"}}
    )
    cluster.outside.keep(APP, {"user": "of-the-store", "zone": "a"})
    await cluster.settle()
    before = plain(cluster)
    cluster.outside.fails[APP] = Unreachable("Timeout")
    cluster.change_managed()["data"] = [PASSWORD, *data]
    rotated = await only_the_password_rotates(cluster, before)

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster) == {"password": rotated, **after}


async def test_a_key_that_another_value_takes_is_renamed_before_what_is_added_is_read() -> None:
    cluster = await begun(PASSWORD, OURS)
    taken = {"name": "new", "literal": "theirs", "keys": {"value": "user"}}
    cluster.change_managed()["data"] = [PASSWORD, OURS_ELSEWHERE, taken, TYPO]
    declare(cluster)
    await hours_pass(cluster)
    rotated = plain(cluster)
    assert rotated == {"password": rotated["password"], "user": "theirs", "other": "ours"}


@cases(
    "spec",
    case("added", {"data": [PASSWORD, TYPO]}),
    case("renamed", {"data": [{**PASSWORD, "keys": {"value": "api"}}, pulled("user", "typo")]}),
    case(
        "rendered",
        {
            "data": [PASSWORD, pulled("user", "typo")],
            "target": {"template": {"data": {"api": "{{ user }}"}}},
        },
    ),
)
async def test_an_adopted_key_stays_until_what_is_to_have_it_is_read(spec: dict[str, Any]) -> None:
    cluster = StoreCluster({"data": [PASSWORD], "target": {"adopt": "IfUnowned"}})
    found = {key: Value.of_text("of-another-tool").to_base64() for key in ("password", "api")}
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "uid": "uid-of-another-tool"}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": found}
    cluster.put(TARGET, secret)
    await cluster.settle()
    changed = cluster.change_managed()
    changed["data"] = spec["data"]
    changed["target"] |= spec.get("target", {})
    declare(cluster)
    await hours_pass(cluster)
    rotated = plain(cluster)
    assert rotated == {"password": rotated["password"], "api": "of-another-tool"}
    assert len(set(rotated.values())) == 2

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster)["api"] in {"there", rotated["password"]}


@pytest.mark.parametrize(
    "keys", [{}, {"keys": {"privateKey": "api", "publicKey": "api.pub"}}], ids=["", "own"]
)
@pytest.mark.parametrize("is_emergency", [True, False], ids=["in an emergency", "at rest"])
async def test_a_key_pair_that_a_store_is_to_have_keeps_its_keys_until_it_is_read(
    keys: dict[str, Any], *, is_emergency: bool
) -> None:
    cluster = await begun(PASSWORD, {"name": "api", "generate": {"ed25519Key": {}}, **keys})
    before = plain(cluster)
    cluster.change_managed()["data"] = [PASSWORD, TYPO]
    if is_emergency:
        declare(cluster)
    await hours_pass(cluster)
    now = plain(cluster)
    assert now == {**before, "password": now["password"]}
    assert (now != before) is is_emergency

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster) == {"password": now["password"], "api": "there"}


async def test_a_value_that_is_now_made_from_it_waits_with_the_rotation_and_names_the_store() -> None:
    cluster = await begun(PASSWORD, registry("password"))
    before = plain(cluster)
    cluster.change_managed()["data"] = [PASSWORD, registry("api"), TYPO]
    declare(cluster)
    await hours_pass(cluster)
    assert plain(cluster) == before
    assert "typo" in problems(cluster)["Stalled"]

    let_stores_answer(cluster)
    await cluster.settle()

    assert plain(cluster)["password"] != before["password"]


async def test_the_kept_problem_of_a_read_refers_to_no_frame_with_values() -> None:
    cluster = await begun(PASSWORD, registry("password"))
    cluster.change_managed()["data"] = [PASSWORD, registry("api"), TYPO]
    declare(cluster)
    await hours_pass(cluster)
    failed = cluster.memory.stores.pulls.record(KEY).failed
    assert failed
    frames = {frame.f_code.co_name for frame, _ in traceback.walk_tb(failed.error.__traceback__)}
    assert "generate_revision" not in frames


async def test_a_value_that_is_read_again_stays_in_the_rotation_of_an_emergency() -> None:
    cluster = await begun(PASSWORD, pulled("api", API))
    before = plain(cluster)
    cluster.outside.fails[API] = Unreachable("Timeout")
    declare(cluster)
    await hours_pass(cluster)
    assert plain(cluster)["api"] == before["api"]
    assert plain(cluster)["password"] != before["password"]

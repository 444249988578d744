"""What cannot be done is said with what to do instead, and never half done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, literal

if TYPE_CHECKING:
    from tests.cluster.namespace import Space


def test_what_the_api_server_refuses_stalls(space: Space) -> None:
    space.manage(
        literal(".dockerconfigjson", "no JSON"),
        target={"name": "pull", "type": "kubernetes.io/dockerconfigjson"},
    )

    message = space.stalled("Refused")
    assert message == (
        "the API server refused to create the Secret 'pull' as invalid; write the values that its type requires,"
        " or, if it is immutable or of another type, delete it: it is created again with the same values"
    )
    assert space.find("Secret", "pull") is None


def test_it_continues_when_what_was_refused_is_fixed(space: Space) -> None:
    broken = literal(".dockerconfigjson", "no JSON")
    space.manage(broken, target={"type": "kubernetes.io/dockerconfigjson"})
    space.stalled("Refused")

    space.respec(lambda spec: spec.update(data=[literal(".dockerconfigjson", '{"auths": {}}')]))

    space.settled()
    assert space.values()[".dockerconfigjson"].reveal() == b'{"auths": {}}'


def test_a_refused_change_leaves_the_secret_as_it_was(space: Space) -> None:
    good = literal(".dockerconfigjson", '{"auths": {}}')
    space.managed(good, bytes_(), target={"type": "kubernetes.io/dockerconfigjson"})
    before = space.version("Secret", "auth")

    space.respec(lambda spec: spec["data"][0].update(literal="no JSON"))

    space.stalled("Refused")
    assert space.version("Secret", "auth") == before


def test_a_secret_that_a_user_made_immutable_stalls(space: Space) -> None:
    space.managed()
    before = space.edit("Secret", "auth", lambda secret: secret.update(immutable=True))["metadata"]

    space.rotate()

    assert "; delete it, so that it is created again, or create another ManagedSecret" in space.stalled(
        "Immutable"
    )
    assert space.version("Secret", "auth") == before["resourceVersion"]


def test_an_immutable_secret_that_is_deleted_comes_back(space: Space) -> None:
    space.managed()
    space.edit("Secret", "auth", lambda secret: secret.update(immutable=True))
    space.rotate()
    space.stalled("Immutable")

    space.delete("Secret", "auth")

    space.settled(revision=2)
    assert "immutable" not in space.get("Secret", "auth")


def test_a_quota_without_room_is_named(space: Space) -> None:
    _limit_secrets(space, "0")

    space.manage()

    assert space.stalled("Refused") == (
        "the ResourceQuota 'secrets' denies the request to create the Secret 'auth-keyturn';"
        " raise it, or delete what fills it"
    )


def test_it_continues_when_the_quota_has_room(space: Space) -> None:
    _limit_secrets(space, "0")
    space.manage()
    space.until_condition("Ready", "False", "Refused")

    space.delete("ResourceQuota", "secrets")
    space.respec(lambda spec: spec.update(owner="team-auth"))  # a change is looked at without waiting

    space.settled(revision=1)


def test_a_quota_with_room_for_one_leaves_no_half_written_secret(space: Space) -> None:
    _limit_secrets(space, "1")

    space.manage()
    space.until_condition("Ready", "False", "Refused")
    kept = space.find("Secret", "auth-keyturn") is not None
    space.delete("ResourceQuota", "secrets")
    space.looked_at()

    space.settled(revision=1)
    assert kept
    assert space.lengths() == {"password": 32, "token": 44}


def _limit_secrets(space: Space, count: str) -> None:
    hard = {"secrets": count}
    space.create({"kind": "ResourceQuota", "metadata": {"name": "secrets"}, "spec": {"hard": hard}})

    def is_counted() -> bool:
        status = space.get("ResourceQuota", "secrets").get("status", {})
        return bool(status.get("hard") == hard and "secrets" in status.get("used", {}))

    eventually(is_counted, "the quota's count")

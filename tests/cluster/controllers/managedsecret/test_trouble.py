"""What the API server refuses is named with what to do instead, and never half done."""

from sandbox.harness import eventually
from tests.cluster.namespace import Space, bytes_, literal

BROKEN = literal(".dockerconfigjson", "no JSON")
WHOLE = literal(".dockerconfigjson", '{"auths": {}}')


def test_what_is_invalid_stalls_until_it_is_fixed_and_changes_no_secret_that_is_there(space: Space) -> None:
    space.manage(BROKEN, bytes_(), target={"name": "pull", "type": "kubernetes.io/dockerconfigjson"})
    assert space.stalled("Refused").startswith(
        "the API server refused to create the Secret 'pull' as invalid; write the values that its type requires"
    )
    assert space.find("Secret", "pull") is None

    space.respec(lambda spec: spec["data"][0].update(WHOLE))
    space.settled()
    before = space.version("Secret", "pull")

    space.respec(lambda spec: spec["data"][0].update(BROKEN))
    space.stalled("Refused")
    assert space.version("Secret", "pull") == before


def test_a_secret_that_a_user_made_immutable_stalls_until_it_is_deleted(space: Space) -> None:
    space.managed()
    before = space.edit("Secret", "auth", lambda secret: secret.update(immutable=True))["metadata"]

    space.rotate()
    assert "; delete it, so that it is created again" in space.stalled("Immutable")
    assert space.version("Secret", "auth") == before["resourceVersion"]

    space.delete("Secret", "auth")
    space.settled(revision=2)
    assert "immutable" not in space.get("Secret", "auth")


def test_a_quota_without_room_is_named_until_it_has_room(space: Space) -> None:
    _limit_secrets(space, "0")
    space.manage()
    assert space.stalled("Refused") == (
        "the ResourceQuota 'secrets' denies the request to create the Secret 'auth-keyturn';"
        " raise it, or delete what fills it"
    )

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

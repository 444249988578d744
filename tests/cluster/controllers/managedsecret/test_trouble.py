"""What cannot be done is said with what to do instead, and never half done."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, literal, password

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

EXCLUDED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize(
    ("rotation", "sentence"),
    [
        pytest.param(
            {"schedule": {"cron": "61 * * * *"}},
            "rotation.schedule.cron '61 * * * *' has the invalid minute '61';"
            " write *, 0 to 59, or a range from low to high",
            id="no cron expression",
        ),
        pytest.param(
            {"schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Berlln"}},
            "rotation.schedule.timeZone 'Europe/Berlln' is unknown; write an IANA name such as Europe/Berlin",
            id="unknown time zone",
        ),
        pytest.param(
            {"schedule": {"cron": "0 3 * * *", "timeZone": "../../etc/passwd"}},
            "rotation.schedule.timeZone '../../etc/passwd' is unknown; write an IANA name such as Europe/Berlin",
            id="a path for a time zone",
        ),
        pytest.param({"every": "9s"}, "rotation.every is too short; write 10s or longer", id="too often"),
    ],
)
def test_a_schedule_that_makes_no_sense_stalls(rotation: Body, sentence: str, space: Space) -> None:
    space.manage(rotation=rotation)

    assert space.stalled("InvalidSchedule") == sentence
    assert space.find("Secret", "auth") is None


def test_an_overlap_that_the_next_rotation_ends_stalls(space: Space) -> None:
    space.manage({**password(), "keepPrevious": True}, rotation={"every": "1h", "overlap": "24h"})

    assert space.stalled("InvalidSchedule").startswith("rotation.overlap (1d) lasts until the next rotation,")
    assert space.find("Secret", "auth") is None


def test_a_key_that_leaves_room_for_the_value_before_is_taken(space: Space) -> None:
    space.managed({**password(), "keys": {"value": "k" * 244}, "keepPrevious": True})

    space.rotate()
    space.until_revision("2")

    assert {len(key) for key in space.values()} == {244, 253}


def test_a_key_that_leaves_no_room_for_the_value_before_stalls(space: Space) -> None:
    space.manage({**password(), "keys": {"value": "k" * 245}, "keepPrevious": True})

    assert space.stalled("InvalidKeys").endswith("write a key of at most 244 by keys")


def test_a_generator_that_is_too_weak_stalls(space: Space) -> None:
    weak = password(symbols=False, lower=False, upper=False, exclude="12345678")

    space.manage(weak)

    message = space.stalled("TooWeak")
    assert "32" in message or "128" in message
    assert space.find("Secret", "auth") is None


def test_a_spec_that_went_wrong_leaves_the_secret_as_it_was(space: Space) -> None:
    space.managed()
    before = space.version("Secret", "auth")

    space.respec(lambda spec: spec.update(rotation={"schedule": {"cron": "61 * * * *"}}))

    space.stalled("InvalidSchedule")
    space.until_condition("Stalled", "True", "InvalidSchedule")
    space.until_condition("Ready", "True", "Published")
    assert space.version("Secret", "auth") == before


def test_it_continues_when_the_spec_is_fixed(space: Space) -> None:
    space.manage(rotation={"every": "9s"})
    space.stalled("InvalidSchedule")

    space.respec(lambda spec: spec.update(rotation={"every": "9d"}))

    space.settled(revision=1)


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

    assert "; delete it, so that it is created again, or write another target.name" in space.stalled(
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


def test_a_value_that_only_looks_like_base64_is_a_literal(space: Space) -> None:
    text = base64.b64encode(b"shop").decode()

    space.managed(literal("username", text))

    assert space.values()["username"].reveal() == text.encode()

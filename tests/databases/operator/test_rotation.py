"""The operator rotates the password of a real PostgreSQL account: at each moment, what the Secret has logs in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from sandbox.harness import eventually
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.databases.operator.accounts import DatabaseAccount


def test_the_first_published_password_logs_in(account: DatabaseAccount) -> None:
    account.manage()

    pair = account.published()
    assert account.accepts(pair)
    assert account.open_names() == [pair.login]
    assert pair.login == f"{account.username}_a"
    account.space.until_condition("CredentialValid", "True", "Accepted")
    assert account.space.until_event("AccountCreated")


def test_both_passwords_log_in_during_the_overlap(account: DatabaseAccount) -> None:
    account.manage(overlap="1h")
    old = account.published()

    account.space.rotate()
    account.space.until_revision("2")

    new = account.published()
    assert (account.accepts(old), account.accepts(new)) == (True, True)
    assert new.login != old.login
    account.until_phases(r1="Proven", r2="Proven")


def test_the_old_password_is_refused_after_the_overlap(account: DatabaseAccount) -> None:
    account.manage(overlap="1s")
    old = account.published()

    account.space.rotate()
    account.until_phases(r1="Closed", r2="Proven")

    new = account.published()
    assert (account.accepts(old), account.accepts(new)) == (False, True)
    assert account.open_names() == [new.login]
    assert "refuses" in account.space.until_event("CredentialRevoked")
    closed = account.space.status()["credentials"][1]
    assert closed["provenAt"] < closed["since"]


def test_the_third_rotation_uses_the_first_login_again(account: DatabaseAccount) -> None:
    account.manage(overlap="1s")
    first = account.published()
    account.space.rotate()
    account.until_phases(r1="Closed", r2="Proven")

    account.space.rotate()
    account.until_phases(r1="Closed", r2="Closed", r3="Proven")

    third = account.published()
    assert third.login == first.login
    assert (account.accepts(first), account.accepts(third)) == (False, True)


def test_a_failing_rollout_returns_to_a_password_that_never_stopped_to_log_in(
    account: DatabaseAccount,
) -> None:
    account.manage(rollout={"progressDeadline": "2s"})
    old = account.published()
    annotations = {"sandbox.keyturn.dev/fails-with": "auth=2"}
    account.space.run(deployment("api", env_from("auth"), pod_annotations=annotations))

    account.space.rotate()
    account.space.stalled("RolledBack")

    assert account.published() == old
    assert account.accepts(old)
    eventually(lambda: account.open_names() == [old.login], "the login that was given up is closed")


def test_an_emergency_ends_the_overlap_at_once(account: DatabaseAccount) -> None:
    account.manage(overlap="24h")
    old = account.published()
    session = account.connect(old)
    declared = {"reason": "a laptop was stolen", "names": ["auth"], "revoke": "Immediately"}

    account.space.create({"kind": "EmergencyRotation", "metadata": {"name": "inc-1"}, "spec": declared})
    account.until_phases(r1="Closed", r2="Proven")

    assert (account.accepts(old), account.accepts(account.published())) == (False, True)
    eventually(lambda: session.closed or is_ended(session), "the open session is ended")


def is_ended(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_one_user_has_one_password_at_a_time(account: DatabaseAccount) -> None:
    account.manage(database={"strategy": "SingleUser"}, overlap="1h")
    old = account.published()

    account.space.rotate()
    account.space.until_revision("2")

    new = account.published()
    assert (old.login, new.login) == (account.username, account.username)
    assert (account.accepts(old), account.accepts(new)) == (False, True)


def test_a_suspended_object_revokes_nothing_until_it_is_resumed(account: DatabaseAccount) -> None:
    account.manage(overlap="1h")
    old = account.published()
    account.space.rotate()
    account.space.until_condition("Rotating", "True", "Overlap")

    over = {"overlap": "1s", "maxOverlap": "1s"}
    account.space.respec(lambda spec: spec.update(suspend=True, rotation={**spec["rotation"], **over}))
    until = datetime.now(UTC) + timedelta(seconds=1)
    eventually(lambda: datetime.now(UTC) > until, "the overlap is over")
    account.space.looked_at()
    assert account.accepts(old)

    account.space.respec(lambda spec: spec.update(suspend=False))
    account.until_phases(r1="Closed", r2="Proven")
    assert not account.accepts(old)

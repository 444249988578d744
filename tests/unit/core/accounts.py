"""A database account at rest, with one thing changed; for tests of credentials."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keyturn.core.observation.external import AccountFacts
from keyturn.core.state.records import Credential, Phase
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.state.state import StateFacts

ACCOUNT: Mapping[str, Any] = {"targetRef": {"name": "orders"}, "username": "app"}
SINGLE = {"strategy": "SingleUser"}
LOGINS = {number: "app_b" if number % 2 == 0 else "app_a" for number in range(10)}


def spec(database: Mapping[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    return {"database": {**ACCOUNT, **(database or {})}, **others}


def credential(number: int, phase: Phase = Phase.PROVEN, *, login: str = "", tries: int = 0) -> Credential:
    """Make a credential whose login alternates with its number."""
    return Credential(
        number,
        login or LOGINS[number],
        phase,
        make.MADE,
        tries,
        item="password",
        target="DatabaseTarget/orders",
    )


def superseding(number: int, **facts: Any) -> Any:
    """Make a revision with a new password, after the one before."""
    known = {"credential": number, "supersedes": number - 1 or None, "changed": ("password", "username")}
    reason = facts.pop("reason", "Created" if number == 1 else "Triggered")
    return make.revision(number, reason, **{**known, **facts})


def state(*credentials: Credential, current: int | None = None, **facts: Any) -> StateFacts:
    """Make a state of revisions that each brought a password; the newest is current."""
    known = credentials or (credential(1),)
    newest = max(one.revision for one in known)
    revisions = facts.pop("revisions", tuple(superseding(number) for number in range(newest, 0, -1)))
    return make.state(
        *revisions,
        current=current,
        names=("password", "username"),
        credentials=known,
        **facts,
    )


def look(
    found: StateFacts | None = None,
    *consumers: Consumer,
    database: Mapping[str, Any] | None = None,
    published: int | None = None,
    account: AccountFacts | None = None,
    others: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Observed:
    """Observe an account; its Secret has the current revision unless another is given."""
    known = found or state()
    number = known.current_number if published is None else published
    seen = make.observed(
        spec(database, **(others or {})),
        *consumers,
        state=known,
        **{"target": make.target(number, published=make.PUBLISHED), "status": {"revision": number}, **facts},
    )
    return replace(seen, account=account or AccountFacts())


def moved(found: StateFacts, number: int, **facts: Any) -> StateFacts:
    """Change facts of one revision."""
    revision = found.revision(number)
    assert revision is not None
    return found.with_revision_facts(replace(revision, **facts))


def numbers(credentials: Iterable[Credential]) -> list[int]:
    return [one.revision for one in credentials]

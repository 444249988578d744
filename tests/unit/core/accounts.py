"""A database account at rest, with one thing changed; for tests of credentials."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from keyturn.core.observation.external import AccountFacts
from keyturn.core.observation.observed import WithAccount
from keyturn.core.rotation.credentials import live_credentials
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Account, Action, Step
from keyturn.core.spec.references import Capacity
from keyturn.core.state.records import Credential, ItemValues, Phase, Revision
from keyturn.core.value import Value
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.core.observation.observed import Consumer, Managed
    from keyturn.core.state.state import State, StateFacts

ACCOUNT: Mapping[str, Any] = {"targetRef": {"name": "orders"}, "username": "app"}
SINGLE = {"postgresql": {"strategy": "SingleUser"}}
ALONE = Capacity(("app",))
TWICE = Capacity(("app",), values_per_name=2)
"""Of a server that keeps two passwords of one name."""
LOGINS = {number: "app_b" if number % 2 == 0 else "app_a" for number in range(10)}


def spec(database: Mapping[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    return {"account": {**ACCOUNT, **(database or {})}, **others}


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
) -> WithAccount:
    """Observe an account; its Secret has the current revision unless another is given."""
    known = found or state()
    number = known.current_number if published is None else published
    seen = make.observed(
        spec(database, **(others or {})),
        *consumers,
        state=known,
        **{"target": make.target(number, published=make.PUBLISHED), "status": {"revision": number}, **facts},
    )
    return cast("WithAccount", replace(seen, account=account or AccountFacts()))


def moved(found: StateFacts, number: int, **facts: Any) -> StateFacts:
    """Change facts of one revision."""
    revision = found.revision(number)
    assert revision is not None
    return found.with_revision_facts(replace(revision, **facts))


FIRST, SECOND = "first-password", "second-password"


def of_login(revision: int, login: str, phase: Phase = Phase.PROVEN) -> Credential:
    return Credential(revision, login, phase, make.NOW, item="password", target="DatabaseTarget/orders")


def recorded(*credentials: Credential, current: int = 1, reason: str = "Created") -> State:
    """Return a state whose revisions brought these credentials."""
    texts = {1: Value.of_text(FIRST), 2: Value.of_text(SECOND)}
    revisions = (
        (
            make.revision(number, reason, credential=number),
            Revision({"password": ItemValues("", {"value": texts[number]}, {"value": "password"})}),
        )
        for number in sorted(set(numbers(credentials)), reverse=True)
    )
    return make.record(*revisions, credentials=credentials, current=current)


def _at_server(action: Action, *numbers: int, **how: Any) -> Account:
    return Account(action, (), tuple(map(credential, numbers)), **how)


class At:
    """Steps at a server, by the numbers of their credentials; what the server must accept is not in them."""

    apply, prove, repair, revoke, retire = (partial(_at_server, action) for action in Action)


def placed(step: Account, facts: StateFacts, live: Iterable[Credential] = ()) -> Account:
    """Return a step with the credentials of a record."""
    about = tuple(facts.credential(one.revision) or one for one in step.credentials)
    about = facts.open_credentials if step.action is Action.RETIRE else about
    return replace(step, live=tuple(live), credentials=about)


def live_after(step: Account, observed: Managed) -> tuple[Credential, ...]:
    """Return what the server must accept after a step."""
    if not isinstance(observed, WithAccount) or step.action is Action.RETIRE:
        return ()
    about = next(iter(placed(step, observed.state).credentials), None)
    opens = about if step.action is Action.APPLY else None
    closes = about if step.action is Action.REVOKE else None
    return live_credentials(observed, opens, closes)


def decide(observed: Managed) -> Step:
    """Return the next step; one at a server as these functions make it."""
    step = next_step(observed)
    if not isinstance(step, Account):
        return step
    about = () if step.action is Action.RETIRE else numbers(step.credentials)
    return replace(step, live=(), credentials=tuple(map(credential, about)))


def numbers(credentials: Iterable[Credential]) -> list[int]:
    return [one.revision for one in credentials]

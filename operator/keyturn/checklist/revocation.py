"""Point 8: previous values are removed once their overlap is over."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.core.reasons import ConditionReason, ErrorReason
from keyturn.core.state.credential import Phase
from keyturn.core.status.summary import condition
from keyturn.kube import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .facts import Declared, Facts, Held

_GRACE = timedelta(minutes=1)
_PREVIOUS = ".previous"
_IN_PROGRESS = frozenset({ConditionReason.PROGRESSING, ErrorReason.PUSHING})


async def judge(facts: Facts) -> list[Finding]:
    """Find previous values that are still readable or in use."""
    held: list[Held] | None = None
    with contextlib.suppress(errors.Forbidden):  # the statuses have most of it
        held = await facts.list_held()
    return judged(await facts.list_declared(), held, facts.now())


def judged(declared: list[Declared], held: list[Held] | None, now: datetime) -> list[Finding]:
    """Judge every ManagedSecret; `held` is None without permission to read Secrets."""
    kept: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in held or ():
        if one.key.endswith(_PREVIOUS) and one.owner:
            kept[one.namespace, one.secret].append(one.key)
    found = [finding for one in declared for finding in _of(one, kept, now)]
    if not declared:
        found.append(
            _finding(Verdict.NOT_APPLICABLE, "there is no ManagedSecret that could have an old value")
        )
    elif not any(one.verdict is Verdict.FAIL or one.verdict is Verdict.UNKNOWN for one in found):
        evidence = f"none of {len(declared)} ManagedSecrets has an old value available after its overlap"
        found.append(_finding(Verdict.PASS, evidence))
    if held is None or any(not one.owner for one in held):
        evidence = "not checked for Secrets that Keyturn does not manage"
        found.append(_finding(Verdict.NOT_APPLICABLE, evidence, "declare a ManagedSecret for them"))
    return found


def _of(one: Declared, kept: dict[tuple[str, str], list[str]], now: datetime) -> Iterator[Finding]:
    yield from _in_the_secret(one, kept, now)
    yield from _at_the_server(one, now)
    if leases := one.managed.status.unrevoked_leases:
        yield _finding(Verdict.UNKNOWN, leases.message, "revoke it at the store", one.where)
    if (one.managed.status.revision or 0) > 1:
        yield from _in_stores(one)
        yield from _in_workloads(one)


def _at_the_server(one: Declared, now: datetime) -> Iterator[Finding]:
    """Judge the previous credentials of a database account: each is proven as refused when it is closed."""
    for credential in one.managed.status.credentials or ():
        named = f"login {credential.login} of revision {credential.revision}"
        since = f"{credential.since:%Y-%m-%d %H:%M} UTC"
        if credential.phase == Phase.CLOSED:
            yield _finding(Verdict.PASS, f"{named} proven refused at {since}", where=one.where)
        elif credential.phase == Phase.CLOSING and now - credential.since > _GRACE:
            evidence = f"{named} is to be refused since {since}, and the database server may still accept it"
            yield _finding(Verdict.FAIL, evidence, "keyturn status shows why", one.where)


def _in_stores(one: Declared) -> Iterator[Finding]:
    """Judge the stores that values are pushed to, by the status."""
    pushed = condition(one.managed, "Pushed")
    if pushed is None:
        return
    if pushed.status != "True":
        evidence = f"a store that it is pushed to may still have the previous value ({pushed.reason})"
        verdict = Verdict.UNKNOWN if pushed.reason in _IN_PROGRESS else Verdict.FAIL
        yield _finding(verdict, evidence, "its condition Pushed shows why", one.where)
    elif pushed.reason == ConditionReason.KEPT:
        evidence = "a store it is pushed to keeps what it had, by updatePolicy: IfNotExists"
        yield _finding(
            Verdict.UNKNOWN, evidence, "check that value, or write updatePolicy: Replace", one.where
        )


def _in_workloads(one: Declared) -> Iterator[Finding]:
    """Judge workloads that may run with previous values, which they have in memory."""
    behind = [each for each in one.managed.status.workloads if not each.state.is_done]
    for each in behind:
        why = f", {each.reason}" if each.reason else ""
        evidence = f"{each.kind}/{each.name} may have a previous value ({each.state.lower()}{why})"
        remedy = "keyturn status shows what it waits for; restart it yourself if Keyturn may not"
        yield _finding(Verdict.UNKNOWN, evidence, remedy, one.where)
    current = condition(one.managed, "WorkloadsCurrent")
    if not behind and (current is None or current.status != "True"):
        why = f" ({current.reason})" if current else ""
        evidence = f"whether a workload has a previous value is unknown{why}"
        yield _finding(Verdict.UNKNOWN, evidence, "keyturn status shows why", one.where)


def _in_the_secret(one: Declared, kept: dict[tuple[str, str], list[str]], now: datetime) -> Iterator[Finding]:
    previous = one.managed.status.previous
    if previous is None:
        if keys := kept.get((one.secret.namespace, one.secret.name)):
            evidence = f"its overlap is over, and the Secret still has {', '.join(sorted(keys))}"
            yield _finding(Verdict.FAIL, evidence, "keyturn status shows why", one.where)
    elif previous.valid_until is None:
        yield _finding(
            Verdict.UNKNOWN,
            f"revision {previous.revision} is revoked once every workload runs on the next one, and one does not",
            "keyturn status lists its workloads",
            one.where,
        )
    elif now - previous.valid_until > _GRACE:
        yield _finding(
            Verdict.FAIL,
            f"revision {previous.revision} was to be revoked at {previous.valid_until:%Y-%m-%d %H:%M} UTC",
            "check keyturn status, and that the operator runs",
            one.where,
        )


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.REVOCATION, verdict, evidence, remedy, where)

"""A status is written over the version that was observed; after a conflict the cache has the newer one."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory, Pass
from keyturn.controllers.managedsecret.report import report, report_step, write_status
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import RevocationProblem
from keyturn.core.observation.observed import Observed
from keyturn.core.rotation.steps import GiveBack
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import StoreLease
from keyturn.core.status.status import Outcome
from keyturn.kube import errors
from keyturn.kube.wire import Body
from tests.support.cases import case, cases
from tests.unit.core import builders as make

KEY = ObjectKey("shop", "db")


class ChangedObject:
    """API server whose ManagedSecret has changed since it was observed, or is gone."""

    def __init__(self, version: str | None) -> None:
        self._version = version

    async def replace(self, path: str, _: Body) -> Body:
        raise errors.Conflict("update", path, 409, "Conflict")

    async def get(self, path: str) -> Body:
        if self._version is None:
            raise errors.NotFound("get", path, 404, "NotFound")
        return body(self._version)


def body(version: str) -> Body:
    metadata = {"namespace": "shop", "name": "db", "uid": make.UID, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"data": [make.PASSWORD]}}


@pytest.mark.parametrize(("version", "known"), [("101", 101), (None, -1)], ids=["changed", "gone"])
async def test_a_conflict_of_the_status_puts_the_newer_object_into_the_cache(
    version: str | None, known: int
) -> None:
    api: Any = ChangedObject(version)
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    context.cache.put_managed(body("100"))
    observed = make.managed()
    status = observed.status.model_copy(update={"revision": 2})

    with pytest.raises(errors.Conflict):
        await write_status(KEY, observed, status, context)

    assert context.cache.version_of(KEY) == known


@pytest.mark.parametrize(("version", "doubts"), [("99", 1), ("101", 0)], ids=["earlier", "later"])
async def test_a_conflict_with_an_earlier_object_has_all_objects_listed(version: str, doubts: int) -> None:
    api: Any = ChangedObject(version)
    doubted: list[None] = []
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    context.doubt_cache = lambda: doubted.append(None)
    context.cache.put_managed(body("100"))
    observed = make.managed()

    with pytest.raises(errors.Conflict):
        await write_status(KEY, observed, observed.status.model_copy(update={"revision": 2}), context)

    assert len(doubted) == doubts


class PostedEvents:
    """Events by reason, and their notes."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.notes: list[str] = []

    def record(self, about: object, reason: str, note: str, *_: object, **__: object) -> None:
        del about
        self.reasons.append(reason)
        self.notes.append(note)


class ObedientServer:
    """API server that takes every status."""

    async def replace(self, _: str, written: Body) -> Body:
        return written


@cases(
    ("error", "reasons"),
    case("a failure", Wait("DatabaseUnreachable", "no answer", make.minutes(1)), ["DatabaseUnreachable"]),
    case("in progress", Wait("ChangingCredential", "the server is being changed", make.minutes(1)), []),
    case("the end of a rollback, which has an Event", Stalled("RolledBack", "fix the cause"), []),
)
async def test_an_error_of_a_pass_has_a_warning_unless_it_is_expected(
    error: Wait | Stalled, reasons: list[str]
) -> None:
    events: Any = PostedEvents()
    api: Any = ObedientServer()
    context = Context(api=api, events=events, now=lambda: make.NOW)
    context.cache.put_managed(body("100"))

    await report(Pass(KEY, make.observed(), Memory(context), context), Outcome(None, error))

    assert [reason for reason in events.reasons if reason != "Rotated"] == reasons


LEASE = StoreLease(
    Destination(StoreKind.SECRET_STORE, "vault", "creds/orders").id,
    "lease-1",
    "",
    make.minutes(60),
    make.NOW + make.minutes(1),
    is_carried=True,
)


def posted_events() -> tuple[PostedEvents, Context]:
    events: Any = PostedEvents()
    return events, Context(api=None, events=events, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called


@cases(
    ("ends", "refused", "reasons"),
    case("revoked", make.NOW + make.minutes(1), False, ["GivenBack"]),
    case("expired", make.NOW, False, []),
    case("refused at the deletion", make.NOW + make.minutes(1), True, ["LeaseNotRevoked"]),
)
def test_only_a_lease_that_its_store_has_revoked_is_reported_as_revoked(
    ends: datetime, refused: bool, reasons: list[str]
) -> None:
    lease = replace(LEASE, ends=ends)
    events, context = posted_events()
    memory = Memory(context)
    if refused:
        memory.stores.leases.refuse(KEY, lease.id, "Status403")

    report_step(GiveBack(lease, drops_refused=refused), Pass(KEY, make.observed(), memory, context), 0.0)

    assert events.reasons == reasons


@cases(
    ("observed", "notes"),
    case(
        "first",
        make.observed(),
        ["the lease of key 'creds/orders' of SecretStore 'vault' is valid until 2026-11-24 12:01:00 UTC: No"],
    ),
    case("again", make.observed(revocation_problems={LEASE.id: RevocationProblem(make.NOW, "No")}), []),
    case(
        "by an earlier process",
        make.observed(
            status={
                "revision": 1,
                "unrevokedLeases": {"count": 1, "validUntil": make.NOW, "message": "Status403"},
            }
        ),
        [],
    ),
)
def test_the_first_refusal_of_a_revocation_is_reported(observed: Observed, notes: list[str]) -> None:
    events, context = posted_events()
    memory = Memory(context)
    memory.stores.leases.refuse(KEY, LEASE.id, "No")

    report_step(GiveBack(LEASE), Pass(KEY, observed, memory, context), 0.0)

    assert events.notes == notes


def test_a_lease_that_a_person_states_to_have_revoked_is_not_reported_as_revoked() -> None:
    events, context = posted_events()
    memory = Memory(context)
    memory.stores.leases.refuse(KEY, LEASE.id, "No")

    report_step(GiveBack(LEASE, is_stated=True), Pass(KEY, make.observed(), memory, context), 0.0)

    assert not memory.stores.leases.postponed(KEY)
    (note,) = events.notes
    assert note == (
        "the record of the lease of key 'creds/orders' of SecretStore 'vault' is removed:"
        " keyturn.dev/leases-revoked states that it is revoked"
    )

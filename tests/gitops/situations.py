"""The situations that a ManagedSecret can be in, as the operator itself tells of them."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keyturn
from keyturn.api.source import StoreKind
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.external import Pulled
from keyturn.core.observation.observed import Consumer, Observed
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.policy.rules import Violation
from keyturn.core.rotation.decision import next_step
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import RevisionFacts
from keyturn.core.state.state import RollbackPause, Triggers
from keyturn.core.status.status import Outcome, status_of
from tests.support.initial_status import filled_in
from tests.support.objects import Body
from tests.unit.core.builders import (
    API_KEY,
    NOW,
    PUSH,
    consumer,
    minutes,
    observed,
    pushed,
    revision,
    seconds,
    secret_class,
    state,
    target,
)

_CODE = Path(keyturn.__file__).parent
_TYPES = (
    *("Ready", "Rotating", "WorkloadsCurrent", "PolicyCompliant", "Refreshed", "Pushed"),
    *("Reconciling", "Stalled", "Hindered", "CrdOutdated", "CredentialValid"),
)
_STEPS = ("Stage", "Apply", "Prove", "Publish", "Overlap")
_BUSY = Wait("ApiServerUnavailable", "the API server does not answer", minutes(1))
_POOR = Violation("minLength", "password would have 40 characters and class strict asks for 64; write more")
_CLASS = secret_class(description="all that is strict")
_WARNS = secret_class(enforcement="Warn")
_SECOND = revision(2, "Triggered", made=NOW - minutes(1))
_OVERLAPS = replace(_SECOND, previous=frozenset({"password.previous"}), valid_until=NOW + minutes(9))
_EDITED = revision(2, "SpecChanged", made=NOW - minutes(1))
_BY_NIGHT = {"every": "1h", "jitter": "0%", "windows": [{"cron": "0 1 * * *", "duration": "2h"}]}
_SUSPENDED: Mapping[str, Any] = {"suspend": True}
_PULLS: Mapping[str, Any] = {"data": [API_KEY]}
_READ = state(names=("api-key",))
_PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
_NEW: Mapping[str, Any] = {"state": None, "target": None, "status": {}}
_PUBLISHED: Mapping[str, Any] = {"published": NOW - seconds(50)}
_PODS_UNREAD = replace(consumer(marker="db=2"), pods=PodsSeen(forbidden=True))


def reasons(kind: str) -> list[str]:
    """Return every reason to be `Stalled`, or to `Wait`, that stands in the code."""
    code = "".join(path.read_text() for path in _CODE.rglob("*.py"))
    return sorted(set(re.findall(rf'\b{kind}\(\s*"(\w+)"', code)))


def verdicts() -> set[str]:
    """Return every reason of a condition that stands in the code, beside those of errors and steps."""
    words = set(re.findall(r'"([A-Z][a-z]\w*)"', (_CODE / "core" / "status" / "conditions.py").read_text()))
    return words - {"ConditionInput", "ConditionVerdict", "True", "False", "Unknown", *_TYPES, *_STEPS}


def told(look: Observed, error: Wait | Stalled | None = None) -> Body:
    """Return the object with the status that a pass writes which ends with what comes next, or with an error."""
    try:
        outcome = Outcome(next_step(look), error, 1 if error else 0)
    except Stalled as stalled_:
        outcome = Outcome(None, stalled_, 1)
    return _body(look, status_of(look, outcome).model_dump(mode="json", by_alias=True, exclude_none=True))


def _body(look: Observed, status: Body) -> Body:
    spec = look.managed.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    metadata = look.managed.metadata
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "generation": metadata.generation,
            "annotations": metadata.annotations,
        },
        "spec": spec,
        "status": status,
    }


def stalled(reason: str) -> Body:
    """Return an object whose Secret is whole and that a person must help."""
    return told(observed(), Stalled(reason, f"somebody must see to {reason}"))


def waiting(reason: str) -> Body:
    """Return an object whose Secret cannot be written yet."""
    return told(observed(**_NEW), Wait(reason, f"waits for {reason}", minutes(1)))


def of_class(status: Body | None, generation: int = 1) -> Body:
    """Return a SecretClass."""
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "SecretClass",
        "metadata": {"name": "strict", "generation": generation},
        "spec": {},
        **({} if status is None else {"status": status}),
    }


class Expected(NamedTuple):
    """A situation, and what is shown of it."""

    body: Body
    tools: str
    """What kstatus and Flux say."""
    argo: str
    message: str
    """A part of what Argo CD says with it."""


def _fresh() -> Body:
    """Return an object as the API server makes it."""
    return _body(observed(**_NEW), filled_in("ManagedSecret"))


def _edited(body: Body) -> Body:
    """Return an object whose spec was changed after the operator had looked at it."""
    return {**body, "metadata": {**body["metadata"], "generation": 2}}


def _rotating(
    *revisions: RevisionFacts, target_at: int, consumers: tuple[Consumer, ...] = (), **of_target: Any
) -> Observed:
    """Look at an object whose second revision is made, while the Secret holds `target_at`."""
    return observed(
        None,
        *consumers,
        state=state(*(revisions or (_SECOND, revision()))),
        target=target(target_at, **_PUBLISHED, **of_target),
    )


def _given_up(*, failed: bool, target_at: int = 1) -> Mapping[str, Any]:
    """Say that revision 2 was given up for the first one."""
    held = RollbackPause(2, generation=1, at=NOW - minutes(1), failed=failed)
    return {
        "state": state(_SECOND, revision(), current=1, rollback_pause=held),
        "target": target(target_at, **_PUBLISHED),
    }


_FAILS: Mapping[str, Any] = {"marker": "db=2", "settled": False, "failed": True}

SITUATIONS: Mapping[str, Expected] = {
    "not looked at yet": Expected(_fresh(), "InProgress", "Progressing", "has not looked at this spec yet"),
    "changed since the last look": Expected(
        _edited(told(observed())), "InProgress", "Progressing", "has not looked at this spec yet"
    ),
    "changed since it stalled": Expected(
        _edited(stalled("TooWeak")), "InProgress", "Progressing", "has not looked at this spec yet"
    ),
    "waiting for the first write": Expected(
        told(observed(**_NEW), _BUSY), "InProgress", "Progressing", "the API server does not answer"
    ),
    "being written": Expected(
        told(observed(target=target(differs={"password"}))),
        "InProgress",
        "Progressing",
        "the Secret is being written",
    ),
    "edited by somebody, and not repaired yet": Expected(
        told(observed(target=target(differs={"password"})), _BUSY),
        "InProgress",
        "Progressing",
        "does not answer",
    ),
    "at rest": Expected(told(observed()), "Current", "Healthy", "the Secret holds revision 1 with every key"),
    "at rest with a class": Expected(
        told(observed(given=_CLASS)), "Current", "Healthy", "the Secret holds revision 1 with every key"
    ),
    "at rest with a workload": Expected(
        told(observed(None, consumer(created=NOW))),
        "Current",
        "Healthy",
        "the Secret holds revision 1 with every key",
    ),
    "a rotation waits for its window": Expected(
        told(observed({"rotation": _BY_NIGHT})),
        "Current",
        "Healthy",
        "the Secret holds revision 1 with every key",
    ),
    "not all of its class can be checked": Expected(
        told(replace(observed(given=_CLASS), unchecked="another environment cannot be read")),
        "Current",
        "Healthy",
        "the Secret holds revision 1 with every key",
    ),
    "the values of a rotation cannot be recorded": Expected(
        told(observed(annotations={"keyturn.dev/rotate": "now"}), _BUSY),
        "Current",
        "Healthy",
        "; rotating: the API server does not answer",
    ),
    "a rotation cannot be published": Expected(
        told(_rotating(target_at=1), _BUSY),
        "Current",
        "Healthy",
        "; rotating: the API server does not answer",
    ),
    "a workload rolls": Expected(
        told(_rotating(target_at=2, consumers=(consumer(marker="db=2", settled=False),))),
        "Current",
        "Healthy",
        "; rotating: Deployment/api is rolling",
    ),
    "the values before are still valid": Expected(
        told(_rotating(_OVERLAPS, revision(), target_at=2, overlapping=True)),
        "Current",
        "Healthy",
        "; rotating: the previous values stay valid until 2026-11-24 12:09 UTC",
    ),
    "whether pods with the values before still run is unknown": Expected(
        told(_rotating(target_at=2, consumers=(_PODS_UNREAD,))), "Current", "Healthy", "revision 2"
    ),
    "the installed CRD drops fields of the status": Expected(
        told(replace(observed(), dropped_status_fields=("status.workloads",))),
        "Current",
        "Healthy",
        "the Secret holds revision 1 with every key",
    ),
    "a workload refuses": Expected(
        told(_rotating(target_at=2, consumers=(consumer(restart="never"),))),
        "Current",
        "Healthy",
        "revision 2",
    ),
    "a listed workload is not there": Expected(
        told(observed(missing_targets=("Deployment/api",))), "Current", "Healthy", "revision 1"
    ),
    "a rollout failed and there is nothing to go back to": Expected(
        told(
            observed(
                {"rollout": {"onFailure": "Hold"}},
                consumer(**_FAILS),
                state=state(_SECOND, revision()),
                target=target(2, **_PUBLISHED),
            )
        ),
        "Failed",
        "Degraded",
        "did not become ready with revision 2",
    ),
    "a failed rollout is taken back": Expected(
        told(observed(None, consumer(marker="db=2"), **_given_up(failed=True))),
        "Current",
        "Healthy",
        "revision 1",
    ),
    "a failed rollout was taken back": Expected(
        told(observed(None, consumer(marker="db=1"), **_given_up(failed=True))),
        "Failed",
        "Degraded",
        "workloads did not become ready with revision 2; rolled back to revision 1",
    ),
    "a person went back": Expected(
        told(observed(**_given_up(failed=False))), "Current", "Healthy", "revision 1"
    ),
    "a change of the spec is not published yet": Expected(
        told(_rotating(_EDITED, revision(), target_at=1), _BUSY),
        "InProgress",
        "Progressing",
        "does not answer",
    ),
    "a change of the spec rolls out": Expected(
        told(
            _rotating(_EDITED, revision(), target_at=2, consumers=(consumer(marker="db=2", settled=False),))
        ),
        "Current",
        "Healthy",
        "; rotating: Deployment/api is rolling",
    ),
    "not as its class asks, before anything was written": Expected(
        told(observed(given=_CLASS, violations=(_POOR,), **_NEW)),
        "Failed",
        "Degraded",
        "class strict asks for 64",
    ),
    "no longer as its class asks": Expected(
        told(observed(given=_CLASS, violations=(_POOR,))), "Failed", "Degraded", "class strict asks for 64"
    ),
    "not as its class would like": Expected(
        told(observed(given=_WARNS, violations=(replace(_POOR, denied=False),))),
        "Current",
        "Healthy",
        "; against policy: ",
    ),
    "a spec that cannot be followed": Expected(
        told(observed(spec_error=Stalled("InvalidSpec", "the spec cannot be read"))),
        "Failed",
        "Degraded",
        "cannot be read",
    ),
    "read from its store": Expected(
        told(observed(_PULLS, state=_READ, pulled=Pulled(read=True, was_read=True))),
        "Current",
        "Healthy",
        "revision 1",
    ),
    "gone at its store, and kept": Expected(
        told(
            observed(
                _PULLS, state=_READ, pulled=Pulled(read=True, was_read=True, retained=frozenset({"api-key"}))
            )
        ),
        "Current",
        "Healthy",
        "revision 1",
    ),
    "asked to rotate what its store holds": Expected(
        told(
            observed(
                _PULLS,
                state=replace(_READ, triggers=Triggers(annotation="now")),
                annotations={"keyturn.dev/rotate": "now"},
                pulled=Pulled(read=True, was_read=True),
            )
        ),
        "Current",
        "Healthy",
        "revision 1",
    ),
    "pushed to its store": Expected(
        told(observed({"pushTo": [PUSH]}, state=state(pushed=(pushed(_PLACE),)))),
        "Current",
        "Healthy",
        "revision 1",
    ),
    "kept by its store": Expected(
        told(observed({"pushTo": [PUSH]}, state=state(pushed=(pushed(_PLACE, kept=True),)))),
        "Current",
        "Healthy",
        "revision 1",
    ),
    "suspended": Expected(
        told(observed(_SUSPENDED)), "Current", "Suspended", "nothing is written while spec.suspend is true"
    ),
    "suspended before anything was written": Expected(
        told(observed(_SUSPENDED, **_NEW)), "InProgress", "Suspended", "the Secret is not complete"
    ),
}

"""Every sentence of denials, of refused Secrets, of the rules and of what keeps a workload back, as users read it.

`python -m tests.unit.golden.messages` writes it to messages.txt. Other tests assert reasons, rules and values,
so that a sentence can be reworded in one place.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from keyturn.api.workloads import Via
from keyturn.controllers.managedsecret.retries import (
    contention_error,
    error_of_list,
    error_of_observation,
    error_of_step,
    unexpected_error,
)
from keyturn.core.observation.observed import Consumer, Observed, RestartWait
from keyturn.core.observation.workload import Pod, PodsSeen, Trouble
from keyturn.core.policy.checklist import ChecklistFacts, findings_of
from keyturn.core.policy.rules import Evidence, Strength, violations_of
from keyturn.core.rotation.rollout import progress_of_workloads
from keyturn.core.rotation.steps import (
    DeletePod,
    EvictPod,
    Finalize,
    Publish,
    Reason,
    Rest,
    RollOut,
    Stage,
    Step,
)
from keyturn.core.spec.schedule import Cron, Every, Window
from keyturn.core.status.status import Outcome, status_of
from keyturn.kube import errors
from tests.unit.core.builders import (
    NOW,
    consumer,
    holding,
    observed,
    pod,
    revision,
    secret_class,
    state,
    target,
    use,
)
from tests.unit.core.rotation.test_ownership import NEW, REFUSED, refusal

FILE: Final = Path(__file__).with_name("messages.txt")
_ASKED: Final = Reason("Triggered", "a new trigger asks for it", frozenset(), rotates=True)
_STEPS: Final[tuple[Step, ...]] = (
    Publish(2),
    Stage(2, _ASKED),
    RollOut(consumer("api"), "db=2"),
    DeletePod(consumer("web"), pod("web-1"), 2),
    EvictPod(holding("report-x")),
    Finalize(present=True),
)
_ANSWERS: Final = (
    (errors.Invalid, 422),
    (errors.Forbidden, 403),
    (errors.Unauthorized, 401),
    (errors.NotFound, 404),
    (errors.Throttled, 429),
    (errors.Unavailable, 503),
    (errors.BadRequest, 400),
)
_DENIERS: Final = (
    errors.Denier(errors.DenierKind.VALIDATING_POLICY, "freeze", "freeze-shop"),
    errors.Denier(errors.DenierKind.WEBHOOK, "labels.example.com"),
    errors.Denier(errors.DenierKind.BROKEN_WEBHOOK, "labels.example.com"),
    errors.Denier(errors.DenierKind.QUOTA, "secrets"),
    errors.Denier(errors.DenierKind.VALIDATING_POLICY, "keyturn-own-secrets", "keyturn-own-secrets"),
)
_TWO: Final[dict[str, Any]] = {
    "state": state(revision(2, "Triggered"), revision()),
    "target": target(2),
    "status": {
        "revision": 2,
        "workloads": [{"kind": "Deployment", "name": "was-restarted", "state": "Current", "revision": 2}],
    },
}


def _rolling(*pods: Pod, **facts: Any) -> Consumer:
    return consumer("api", pods=pods, **{"marker": "db=2", "settled": False, **facts})


_WORKLOADS: Final[tuple[tuple[dict[str, Any], Consumer], ...]] = (
    ({}, consumer("api")),
    ({}, consumer("api", paused=True)),
    ({}, consumer("api", settled=False)),
    ({}, consumer("api", settled=False, is_updated=True)),
    ({}, consumer("api", settled=False, aborted=True)),
    ({}, consumer("api", restart="never")),
    ({}, consumer("api", restart="false")),
    ({"restart": "None"}, consumer("api")),
    ({"restart": "Listed"}, consumer("api")),
    ({"targets": [{"kind": "Deployment", "name": "api"}]}, consumer("api", uses=())),
    ({}, consumer("api", marker="db=2", settled=False, hint="its update strategy is OnDelete")),
    ({}, consumer("api", marker="db=2", settled=False, complaint="its pods cannot be created")),
    ({}, consumer("api", marker="db=2", settled=False, failed=True)),
    ({}, consumer("api", marker="db=2", settled=False, failed=True, aborted=True)),
    ({}, consumer("api", marker="db=2", settled=False)),
    ({}, _rolling(pod("api-0", ready=False, trouble=Trouble("ImagePullBackOff", "main")))),
    ({}, _rolling(pod("api-0", ready=False, crashes=5, restarts=5, trouble=Trouble("Error", "main", 1)))),
    ({}, _rolling(pod("api-0", ready=False, template="old"), kind="StatefulSet", templates=("new",))),
    ({}, consumer("api", marker="db=2", pods=(pod("api-1", marker="db=1", leaves=NOW),))),
    ({}, replace(consumer("api", marker="db=2"), pods=PodsSeen(forbidden=True))),
    ({}, consumer("was-restarted")),
)


def sentences() -> Iterator[str]:
    """Return each sentence after its reason or rule."""
    for step in _STEPS:
        for kind, status in _ANSWERS:
            found = error_of_step(
                kind("update", "/api/v1/namespaces/shop/secrets/db", status, "x"), step, observed()
            )
            yield f"{type(step).__name__} {status} {found.reason}: {found.message}"
        for denier in _DENIERS:
            denied = errors.of_answer("update", "/api/v1/namespaces/shop/secrets/db", 403, "x", denier=denier)
            found = error_of_step(denied, step, observed())
            yield f"{type(step).__name__} denied {found.reason}: {found.message}"
    yield from _of_first_writes()
    yield from _of_targets()
    for kind, status in _ANSWERS:
        found = error_of_observation(kind("get", "/api/v1/namespaces/shop/secrets/db", status, "x"))
        yield f"look {status} {found.reason}: {found.message}"
        found = error_of_list(kind("list", "/api/v1/namespaces/shop/pods", status, "x"))
        yield f"list {status} {found.reason}: {found.message}"
    yield from (f"look {one.reason}: {one.message}" for one in (contention_error(), unexpected_error()))
    yield from (f"{one.rule}: {one.message}" for evidence in _evidence() for one in violations_of(*evidence))
    yield from (f"{one.rule}: {one.message}" for one in findings_of(_SIGNS))
    yield from _of_workloads()


def _of_first_writes() -> Iterator[str]:
    own = _DENIERS[-1]
    refused = errors.Invalid("create", "/api/v1/namespaces/shop/secrets", 422, "x", denier=own)
    for namespace in ("shop", "kube-system"):
        look = observed(state=None, target=None, status={})
        metadata = look.managed.metadata.model_copy(update={"namespace": namespace})
        look = replace(look, managed=look.managed.model_copy(update={"metadata": metadata}))
        found = error_of_step(refused, Stage(1, _ASKED), look)
        yield f"Stage 422 {found.reason}: {found.message}"


def _of_targets() -> Iterator[str]:
    for spec, found, _ in REFUSED.values():
        refused = refusal(observed(spec, target=found, **NEW))
        yield f"target {refused.reason}: {refused.message}"


def _evidence() -> Iterator[tuple[Any, Evidence]]:
    names = frozenset({"password"})
    quarter = Every(timedelta(days=90), 10)
    made = Evidence({"password": Strength(39, 199)}, quarter, names)
    strict = secret_class(minLength=40, minEntropyBits=200)
    rotates = secret_class(maxInterval="30d")
    yield strict, made
    yield strict, replace(made, strengths={}, older={"password": Strength(39, 199.9)}, pulled={"api-key": 3})
    yield strict, replace(made, strengths={}, older={"password": None})
    yield rotates, made
    yield rotates, replace(made, cadence=None)
    yield rotates, replace(made, cadence=Cron("0 3 1 */3 *", "UTC"))
    yield rotates, replace(made, cadence=Every(timedelta(days=1), 10), rotates=frozenset())
    yield rotates, replace(made, cadence=None, immutable=True)
    yearly = Window(Cron("0 3 1 1 *", "UTC"), timedelta(hours=1))
    yield rotates, replace(made, cadence=Every(timedelta(days=1), 10), windows=(yearly,))
    yield secret_class(distinctAcrossEnvironments=True), replace(made, equal_values=names)


_SIGNS: Final = ChecklistFacts(
    weak=frozenset({"api-key"}),
    shared=frozenset({"token"}),
    unscheduled=frozenset({"token"}),
    unapplied=frozenset({"db-password"}),
    is_overdue=True,
    kept_since=datetime(2026, 5, 1, 12, 30, tzinfo=UTC),
)


def _of_workloads() -> Iterator[str]:
    pods = (holding(), holding("a", owner=("Job", "nightly")), holding("b", owner=("Kafka", "events")))
    others = observed(None, **_TWO, holders=PodsSeen(pods))
    for other in status_of(others, Outcome(Rest(None))).workloads:
        yield f"{other.state} {other.reason}: {other.message}"
    files = consumer("api", uses=(use("db", via=(Via.VOLUME,)),))
    reloads = replace(files, workload=replace(files.workload, reload="wait"))
    for published in (NOW, NOW - timedelta(minutes=2)):  # within the sync of the kubelet, and after it
        look = observed(None, reloads, **_TWO | {"target": target(2, published=published)})
        yield from _progress(look)
    for rollout, one in _WORKLOADS:
        yield from _progress(observed({"rollout": rollout}, one, **_TWO))
    hold = RestartWait(NOW + timedelta(minutes=3), "--max-rolling 5")
    yield from _progress(observed(None, consumer("api"), restart_wait=hold, **_TWO))


def _progress(look: Observed) -> Iterator[str]:
    for found in progress_of_workloads(look):
        yield f"{found.state} {found.reason}: {found.message or 'without a sentence'}"


def text() -> str:
    return "".join(f"{one}\n" for one in sentences())


if __name__ == "__main__":
    FILE.write_text(text())

"""Which marker a template gets when a revision is given up: what stood there, so that healthy pods stay."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from keyturn.core.observation.observed import Consumer, Managed, Sibling
from keyturn.core.observation.workload import Pod, PodsSeen
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollout import next_marker
from keyturn.core.rotation.steps import RollOut
from keyturn.core.state.state import Publication, RollbackPause
from tests.support.cases import case, cases
from tests.unit.core import builders
from tests.unit.core.builders import (
    BEFORE,
    NOW,
    PUBLISHED,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    state,
    target,
    use,
)

DURING = PUBLISHED + minutes(2)
BACK = PUBLISHED + minutes(5)
"""Revision 2 was published, then revision 1 again."""


def look(one: Consumer, **changed: Any) -> Managed:
    known: dict[str, Any] = {
        "state": state(
            revision(2, "Triggered", made=PUBLISHED - seconds(1)),
            revision(made=BEFORE - minutes(1)),
            current=1,
            rollback_pause=RollbackPause(2, 1, BACK, failed=True),
            publications=(Publication(2, PUBLISHED), Publication(1, BEFORE - minutes(1))),
        ),
        "target": target(1, published=BACK),
        "status": {"revision": 1},
        "now": BACK + seconds(1),
    }
    return observed(None, one, **known | changed)


def pod(marker: str = "", created: datetime = BEFORE, **facts: Any) -> Pod:
    return builders.pod("api-1", created=created, marker=marker, ready=None, **facts)


def failed(*pods: Pod, marker: str = "db=2", siblings: tuple[Sibling, ...] = ()) -> Consumer:
    uses = (use(), *(use(one.secret) for one in siblings))
    made = consumer("api", *siblings, marker=marker, uses=uses, settled=False)
    return replace(made, pods=PodsSeen(pods=(*pods, pod(marker, DURING))))


TLS = Sibling("tls", 3, BEFORE - seconds(1))
FIRST = Sibling("tls", 1, BEFORE + seconds(30))


@cases(
    ("one", "marker"),
    case("none stood there", failed(pod()), ""),
    case("one stood there", failed(pod("db=1")), "db=1"),
    case("with a secret that is gone since", failed(pod("db=1,tls=4")), "db=1,tls=4"),
    case("no healthy pod is left", failed(), "db=1"),
    case("the last healthy pod is terminating", failed(pod(leaves=NOW)), "db=1"),
    case("most pods", failed(pod(), pod("db=1"), pod("db=1")), "db=1"),
    case("as many of both", failed(pod(), pod("db=1")), ""),
    case("a pod without one was made under the failed revision", failed(pod(), pod(created=DURING)), "db=1"),
    case("the healthy pod is newer than the return", failed(pod(created=BACK + seconds(1))), ""),
    case("pods of the failed template are not healthy", failed(marker="db=2"), "db=1"),
    case(
        "with another secret", failed(pod("db=1,tls=3"), marker="db=2,tls=3", siblings=(TLS,)), "db=1,tls=3"
    ),
    case(
        "another secret has turned meanwhile",
        failed(pod("db=1,tls=2"), marker="db=2,tls=3", siblings=(TLS,)),
        "db=1,tls=3",
    ),
    case(
        "is newer than the other secret's revision", failed(pod(), marker="db=2,tls=3", siblings=(TLS,)), ""
    ),
    case(
        "is older than the other secret's revision",
        failed(pod(), marker="db=2,tls=3", siblings=(replace(TLS, published=NOW),)),
        "db=1,tls=3",
    ),
    case(
        "nobody knows since when the other secret has its revision",
        failed(pod(), marker="db=2,tls=3", siblings=(replace(TLS, published=None),)),
        "db=1,tls=3",
    ),
    case(
        "waited for the other secret's first revision",
        failed(pod(), marker="db=2,tls=1", siblings=(FIRST,)),
        "",
    ),
)
def test_a_template_gets_back_what_its_healthy_pods_have(one: Consumer, marker: str) -> None:
    at = look(one)
    assert next_marker(one, at) == marker
    assert next_step(at) == RollOut(one, marker)


def test_a_later_revision_is_not_a_return() -> None:
    one = replace(consumer(marker="db=1"), pods=PodsSeen(pods=(pod("db=1"),)))
    at = observed(None, one, state=state(revision(2, "Triggered"), revision()), target=target(2))
    assert next_marker(one, at) == "db=2"

"""When a revision was published, and which time a write of the Secret sets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.rotation import steps
from keyturn.core.rotation.publication import publication_of, publication_time
from keyturn.core.state.state import RollbackPause
from tests.unit.core import accounts
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, PUBLISHED

if TYPE_CHECKING:
    from datetime import datetime

BACK: dict[str, Any] = {"current": 1, "rollback_pause": RollbackPause(2, 1, PUBLISHED, failed=False)}
PROVEN_LATE = accounts.state(replace(accounts.credential(2), since=PUBLISHED), accounts.credential(1))


@pytest.mark.parametrize(
    ("changes", "time"),
    [
        pytest.param({"state": None, "target": None}, None, id="no revision"),
        pytest.param({}, PUBLISHED, id="published, with a time"),
        pytest.param({"target": make.target(published=None)}, MADE, id="published, without a time"),
        pytest.param({"target": None}, MADE, id="deleted, and known to the status"),
        pytest.param({"target": None, "status": {}}, None, id="never there"),
        pytest.param({"target": make.target(None, published=None)}, MADE, id="a Secret without a revision"),
        pytest.param({"target": make.target(7)}, None, id="a Secret of another revision"),
    ],
)
def test_the_time_of_publication(changes: dict[str, object], time: object) -> None:
    assert publication_of(make.observed(**changes)) == time  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "look", "time"),
    [
        pytest.param(steps.Publish(1), {"target": make.target(2)}, NOW, id="a new revision"),
        pytest.param(steps.Publish(1), {"target": None}, MADE, id="a Secret with a new name"),
        pytest.param(
            steps.Publish(1),
            {"target": make.target(None, published=None)},
            MADE,
            id="a Secret that was created again",
        ),
        pytest.param(
            steps.Publish(1),
            {"target": make.target(None, published=None), "status": {}},
            NOW,
            id="the first time to a foreign Secret",
        ),
        pytest.param(steps.Publish(1), {"target": None, "status": {}}, NOW, id="a first Secret"),
        pytest.param(steps.Repair(1, frozenset()), {}, PUBLISHED, id="a repair"),
        pytest.param(steps.Repair(1, frozenset()), {"target": None}, MADE, id="a repair of a deleted Secret"),
        pytest.param(
            steps.Repair(1, frozenset()),
            {"target": None, "state": make.state(make.revision(2, "Triggered"), make.revision(), **BACK)},
            PUBLISHED,
            id="a repair of a Secret that was deleted after a rollback",
        ),
        pytest.param(
            steps.Repair(2, frozenset()),
            {"target": None, "state": PROVEN_LATE},
            PUBLISHED,
            id="a repair of a deleted Secret whose login was proven late",
        ),
        pytest.param(steps.Settle(1), {"target": None, "state": None}, NOW, id="nothing is known"),
    ],
)
def test_the_publication_time_of_a_write(
    step: steps.Publish | steps.Repair | steps.Settle, look: dict[str, Any], time: datetime
) -> None:
    assert publication_time(step, make.observed(**look), NOW) == time

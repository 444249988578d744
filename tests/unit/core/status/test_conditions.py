"""What is said where nobody could look."""

from keyturn.core.errors import Wait
from keyturn.core.status.conditions import status_unseen
from tests.unit.core.builders import NOW, managed, minutes, seconds

ERROR = Wait("Forbidden", "no rights", seconds(2))


def one(type_: str, status: str, reason: str) -> dict[str, object]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "before",
        "lastTransitionTime": NOW - minutes(9),
        "observedGeneration": 1,
    }


BEFORE = {
    "revision": 3,
    "conditions": [
        one("Ready", "True", "Published"),
        one("Rotating", "False", "Idle"),
        one("Stalled", "True", "InvalidSpec"),
    ],
}


def test_it_is_unknown_whether_it_is_ready_and_all_else_stays() -> None:
    found = status_unseen(managed(status=BEFORE), ERROR, NOW)
    assert found.revision == 3
    assert {one.type: (one.status, one.reason, one.message) for one in found.conditions} == {
        "Ready": ("Unknown", "Forbidden", ERROR.message),
        "Rotating": ("False", "Idle", "before"),
        "Reconciling": ("True", "Forbidden", ERROR.message),
    }


def test_the_same_again_writes_nothing() -> None:
    first = status_unseen(managed(status=BEFORE), ERROR, NOW)
    told = first.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert status_unseen(managed(status=told), ERROR, NOW + minutes(5)) == first

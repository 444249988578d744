"""What a plan says of the account of a database server, and of a store that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.cli.managed import found_in
from keyturn.cli.options import Output
from keyturn.cli.plan.model import Plan, notes
from keyturn.cli.plan.observe import PlanObservation
from keyturn.cli.plan.output import print_plans
from keyturn.cli.plan.simulate import Makers, foresee
from tests.unit.core import accounts
from tests.unit.core.builders import MADE, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.objects import Body

NO_MAKERS = Makers(needs={}, merges={})
ASKED = {"keyturn.dev/rotate": "now"}


def plan(database: Mapping[str, Any] | None = None, *conditions: dict[str, Any]) -> Plan:
    """Plan a rotation of an account at rest."""
    login = "app" if database else "app_a"
    found = accounts.state(accounts.credential(1, login=login))
    look = accounts.look(found, database=database, annotations=ASKED)
    metadata = {
        "name": "db",
        "namespace": "shop",
        "resourceVersion": "1",
        "creationTimestamp": MADE.isoformat(),
    }
    status = {"revision": 1, "secretName": "db", "conditions": list(conditions)}
    body: Body = {
        "metadata": metadata,
        "spec": {"data": [PASSWORD], **accounts.spec(database)},
        "status": status,
    }
    seen = PlanObservation(look, look.desired, NO_MAKERS, ())
    return Plan(found_in(body), seen, foresee(look, NO_MAKERS), is_rotation=True)


def test_one_login_has_a_window_without_new_connections() -> None:
    (note,) = (one for one in notes(plan(accounts.SINGLE)) if "SingleUser" in one)

    assert "app has one password" in note


def test_two_logins_have_none() -> None:
    assert not [one for one in notes(plan()) if "SingleUser" in one]


@pytest.mark.parametrize(
    ("reason", "is_refused"),
    [("CredentialLocked", False), ("PasswordRefused", False), ("DatabaseDenied", True)],
)
def test_a_refused_login_is_no_refusal_of_a_rotation(reason: str, *, is_refused: bool) -> None:
    said = {"type": "Stalled", "status": "True", "reason": reason, "message": "", "lastTransitionTime": MADE}

    assert plan(None, said).is_refused is is_refused


def test_a_rotation_may_wait_for_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"type": "Refreshed", "status": "False", "reason": "StoreUnreachable", "message": ""}

    print_plans([plan(None, said | {"lastTransitionTime": MADE})], Output.TABLE, are_many=False)

    assert "Starts       at once, unless the spec has a value that no store has given yet" in (
        capsys.readouterr().out
    )

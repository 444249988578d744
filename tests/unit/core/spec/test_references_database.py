"""`spec.database` with its defaults, and the value that is its password."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.database import Database, Drift, Sessions, Strategy
from keyturn.api.rotation import AppliedBy
from keyturn.api.target import DeletionPolicy
from keyturn.core.errors import Stalled
from keyturn.core.spec.references import database_of, logins_of
from tests.unit.core import builders as make
from tests.unit.core.accounts import ACCOUNT, spec

LONG: dict[str, Any] = {"name": "token", "generate": {"password": {}}}


def test_defaults() -> None:
    found = make.desired(spec()).database
    assert found is not None
    assert (found.target.name, found.username, found.password) == ("orders", "app", "password")
    assert (found.strategy, found.sessions, found.drift) == (
        Strategy.ALTERNATING_USERS,
        Sessions.KEEP,
        Drift.REPAIR,
    )
    assert found.probe_interval == timedelta(minutes=10)
    assert (found.alternates, found.deletes, found.repairs) == (True, False, True)


def test_everything_is_set() -> None:
    found = database_of(
        Database.model_validate(
            {
                **ACCOUNT,
                "strategy": "SingleUser",
                "passwordValue": "token",
                "sessions": "Terminate",
                "probe": {"every": "1h", "drift": "Report"},
                "deletionPolicy": "Delete",
            }
        )
    )
    assert found is not None
    assert (found.password, found.sessions, found.probe_interval) == (
        "token",
        Sessions.TERMINATE,
        timedelta(hours=1),
    )
    assert (found.alternates, found.deletes, found.repairs) == (False, True, False)
    assert found.deletion is DeletionPolicy.DELETE


def test_the_logins_of_an_account() -> None:
    assert logins_of("app", Strategy.ALTERNATING_USERS) == ("app_a", "app_b")
    assert logins_of("app", Strategy.SINGLE_USER) == ("app",)
    alternating, single = (
        make.desired(spec()).database,
        make.desired(spec({"strategy": "SingleUser"})).database,
    )
    assert alternating is not None
    assert single is not None
    assert alternating.every_login == ("app_a", "app_b", "app")
    assert single.every_login == single.logins == ("app",)


def test_the_login_is_a_value_that_lasts_as_long_as_its_password() -> None:
    kept = {**make.PASSWORD, "keepPrevious": True}
    item = make.desired(spec(data=[kept])).items[-1]
    assert (item.name, dict(item.keys), item.is_login) == ("username", {"value": "username"}, True)
    assert item.keep_previous
    assert not make.desired(spec()).items[-1].keep_previous


def test_keyturn_applies_the_password_whatever_the_class_says() -> None:
    of_class = make.secret_class(rotation={"appliedBy": "Nobody"})
    assert make.desired(spec(), of_class).applied_by is AppliedBy.KEYTURN
    assert make.desired({}, of_class).applied_by is AppliedBy.NOBODY


@pytest.mark.parametrize(
    ("data", "database"),
    [
        pytest.param([LONG], {}, id="no item of that name"),
        pytest.param([{"name": "password", "literal": "x"}, LONG], {}, id="a literal"),
        pytest.param([make.PASSWORD, {"name": "username", "literal": "x"}], {}, id="another username"),
        pytest.param([make.PASSWORD, {**LONG, "keys": {"value": "username"}}], {}, id="its key"),
    ],
)
def test_a_password_is_one_generated_value(data: list[Any], database: dict[str, Any]) -> None:
    with pytest.raises(Stalled) as caught:
        make.desired(spec(database, data=data))
    assert caught.value.reason == "InvalidDatabase"


def test_a_password_of_a_class_is_text() -> None:
    """The rule of the CRD sees the generator of the item only, and a server takes no raw bytes."""
    raw = make.secret_class(generate={"bytes": {"encoding": "raw"}})
    with pytest.raises(Stalled, match="InvalidDatabase") as caught:
        make.desired(spec(data=[{"name": "password"}]), raw)
    assert "raw" in caught.value.message
    text = make.secret_class(generate={"bytes": {"encoding": "hex"}})
    assert make.desired(spec(data=[{"name": "password"}]), text).database

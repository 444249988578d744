"""What the server of an account accepts at the same time: its engine says so, or all engines alike."""

import pytest

from keyturn.api.account import Account
from keyturn.core.errors import Stalled
from keyturn.core.keys import DATABASE_TARGET, TargetKey
from keyturn.core.spec.references import Capacity
from keyturn.databases import engines
from keyturn.databases.base import Engine
from keyturn.databases.engines import account_in, capacity_of
from keyturn.databases.engines.postgresql import Postgresql
from keyturn.kube.cache.externals import TargetCache
from tests.unit.core.accounts import ALONE, TWICE, spec
from tests.unit.core.builders import managed
from tests.unit.kube.cache.test_externals_targets import target

ALTERNATING = Capacity.alternating("app")


class Twice(Engine):
    """An engine of a server that keeps two passwords of one name."""

    kind = "twice"

    @classmethod
    def capacity(cls, account: Account) -> Capacity:
        return Capacity((account.username,), values_per_name=2)


@pytest.fixture
def _another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"postgresql": Postgresql, "twice": Twice}
    monkeypatch.setattr(engines, "engines", lambda: known)


def account(strategy: str | None = None) -> Account:
    of_engine = {"strategy": strategy} if strategy else None
    return Account.model_validate(
        {"targetRef": {"name": "orders"}, "username": "app", "postgresql": of_engine}
    )


@pytest.mark.parametrize(
    ("strategy", "capacity"),
    [("AlternatingUsers", ALTERNATING), ("SingleUser", ALONE)],
)
def test_a_strategy_of_one_engine_needs_no_target(strategy: str | None, capacity: Capacity) -> None:
    assert capacity_of(account(strategy), None) == capacity


@pytest.mark.usefixtures("_another_engine")
def test_the_engine_of_the_target_decides() -> None:
    assert capacity_of(account(), "postgresql") == ALTERNATING
    assert capacity_of(account(), "twice") == TWICE
    assert capacity_of(account("SingleUser"), None) == ALONE, "one engine alone has it"


@pytest.mark.usefixtures("_another_engine")
def test_an_account_waits_and_has_no_name_while_its_target_is_not_there() -> None:
    targets, key = TargetCache(), TargetKey(DATABASE_TARGET, "shop", "orders")
    for unknown in (None, target(postgresql=None), target(maxConnections="many"), target()):
        waiting, problem = account_in(managed(spec()), targets)
        assert waiting
        assert (waiting.capacity.names, problem and problem.reason) == ((), "TargetNotReady")
        if unknown:
            targets.put(key, unknown)
    known, problem = account_in(managed(spec()), targets)
    assert known
    assert (known.capacity, problem) == (ALTERNATING, None)
    assert account_in(managed(), targets) == (None, None)


@pytest.mark.usefixtures("_another_engine")
def test_settings_of_another_engine_are_refused_with_what_to_remove() -> None:
    with pytest.raises(Stalled, match="InvalidDatabase") as caught:
        capacity_of(account("SingleUser"), "twice")
    assert caught.value.message.endswith("remove account.postgresql")

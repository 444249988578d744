"""`keyturn version` distinguishes an operator without a leader from one that the user may not read."""

from collections.abc import Iterator

import pytest

from tests.support.console import Console
from tests.unit.cli.fake_api import FakeApi, fake_api


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api(FakeApi()) as api:
        yield api


def test_a_leader_that_may_not_be_read_is_not_a_missing_one(api: FakeApi, console: Console) -> None:
    api.refused["GET", "/deployments/"] = 404
    api.lease = None
    missing = console.json("version")["operator"]
    api.refused["GET", "/leases/"] = 403
    unread = console.json("version")["operator"]

    assert (missing["leader"], missing["unread"]) == (None, None)
    assert (unread["leader"], unread["unread"]) == (None, "you may not get leases in namespace shop")

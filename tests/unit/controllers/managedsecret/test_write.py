"""Writes of the target Secret: a foreign Secret of its name is found, and stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.write import write_target
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.steps import Publish
from keyturn.core.state.revision import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube import errors, paths
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from keyturn.kube.client import Body

KEY = ObjectKey("shop", "db")
VALUES = Revision({"password": ItemValues("", {"value": Value.of_text("x")}, {"value": "password"})})


class Occupied:
    """API server with a foreign Secret, which the informer does not see."""

    async def get(self, path: str, *, metadata_only: bool) -> Body:
        assert metadata_only
        assert path == paths.secret("shop", "db")
        return {"metadata": {"namespace": "shop", "name": "db", "uid": "foreign", "resourceVersion": "7"}}

    async def create(self, path: str, _: Body) -> Body:
        raise errors.AlreadyExists("create", path, 409, "AlreadyExists")


async def test_a_foreign_secret_of_the_same_name_is_observed_after_the_write() -> None:
    api: Any = Occupied()
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    memory, state = Memory(context), make.record((make.revision(), VALUES))
    memory.secrets.put_state(KEY, state, "1")
    first = make.observed(state=state.facts, target=None, status={})
    assert await memory.secrets.meta(KEY, "db") is None

    with pytest.raises(errors.Conflict):
        await write_target(Publish(1), KEY, first, memory, context)

    found = await memory.secrets.meta(KEY, "db")
    assert found is not None
    assert not found.owner

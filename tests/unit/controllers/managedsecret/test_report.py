"""A status is written over the version that was observed; after a conflict the cache has the newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.report import write_status
from keyturn.core.keys import ObjectKey
from keyturn.kube import errors
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from keyturn.kube.client import Body

KEY = ObjectKey("shop", "db")


class ChangedObject:
    """API server whose ManagedSecret has changed since it was observed, or is gone."""

    def __init__(self, version: str | None) -> None:
        self._version = version

    async def replace(self, path: str, _: Body) -> Body:
        raise errors.Conflict("update", path, 409, "Conflict")

    async def get(self, path: str) -> Body:
        if self._version is None:
            raise errors.NotFound("get", path, 404, "NotFound")
        return body(self._version)


def body(version: str) -> Body:
    metadata = {"namespace": "shop", "name": "db", "uid": make.UID, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"data": [make.PASSWORD]}}


@pytest.mark.parametrize(("version", "known"), [("101", 101), (None, -1)], ids=["changed", "gone"])
async def test_a_conflict_of_the_status_puts_the_newer_object_into_the_cache(
    version: str | None, known: int
) -> None:
    api: Any = ChangedObject(version)
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    context.cache.put_managed(body("100"))
    observed = make.managed()
    status = observed.status.model_copy(update={"revision": 2})

    with pytest.raises(errors.Conflict):
        await write_status(KEY, observed, status, context)

    assert context.cache.version_of(KEY) == known

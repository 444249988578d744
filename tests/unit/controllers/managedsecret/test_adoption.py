"""States of existing Secrets: their values are as old as the Secret."""

from typing import Any

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.adoption import claim
from keyturn.controllers.managedsecret.secret_reads import SecretReads
from keyturn.core.keys import ObjectKey
from keyturn.core.rotation.steps import Claim
from keyturn.core.value import Value
from keyturn.kube import errors, paths
from tests.unit.core import builders as make

KEY = ObjectKey("shop", "db")


class SecretServer:
    """API server with a target Secret that has no state Secret."""

    async def get(self, path: str) -> dict[str, Any]:
        if path != paths.secret("shop", "db"):
            raise errors.NotFound("get", path, 404, "NotFound")
        metadata = {"namespace": "shop", "name": "db", "uid": "u", "resourceVersion": "7"}
        return {
            "metadata": metadata | {"creationTimestamp": make.BEFORE.isoformat()},
            "data": {"password": Value.of_text("x").to_base64()},
        }


async def test_the_values_of_a_claimed_secret_are_as_old_as_the_secret() -> None:
    context = Context(api=SecretServer(), events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # fakes
    observed = make.observed(state=None, status={})

    state = await claim(Claim(1), KEY, observed, SecretReads(context), context)

    assert state.facts.rotated == make.BEFORE
    assert state.current.data() == {"password": Value.of_text("x")}

"""What real admission policies and webhooks refuse or change is told in words that help, and nothing is half done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.space import bytes_, password
from tests.support.kubectl import eventually

if TYPE_CHECKING:
    from tests.cluster.policies import Policy
    from tests.cluster.space import Space
    from tests.support.operator import Operator

KEPT = {**password(), "keepPrevious": True}
KEEPS_THE_OVERLAP = (
    "request.operation == 'CREATE' || !has(oldObject.metadata.annotations)"
    " || !('keyturn.dev/overlap' in oldObject.metadata.annotations)"
    " || 'keyturn.dev/overlap' in object.metadata.annotations"
)


def test_a_refused_revocation_is_told_until_it_is_done(
    space: Space, policy: Policy, operator: Operator
) -> None:
    policy.refuse("secrets", unless=KEEPS_THE_OVERLAP, reason="Forbidden")
    space.managed(KEPT, bytes_(), rotation={"overlap": "2s"})

    space.rotate()

    status = space.until_condition("Rotating", "True", "Revoke")
    assert "password.previous" in space.values()
    assert status["previous"]["revision"] == 1
    assert status["previous"]["validUntil"]
    assert status["rotation"]["step"] == "Revoke"
    assert status["rotation"]["message"].startswith("the API server forbids to update the Secret 'auth'")
    labels = f'{{namespace="{space.namespace}",name="auth"}}'
    assert f"keyturn_previous_valid_until_timestamp_seconds{labels}" in operator.get("/metrics")[1]
    policy.lift()
    space.looked_at()
    eventually(lambda: "password.previous" not in space.values(), "the value before is gone")
    assert "previous" not in space.settled()

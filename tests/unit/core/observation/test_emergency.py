"""What a label selector takes, as Kubernetes' own do."""

from typing import Any

import pytest

from keyturn.api.meta import LabelSelector
from keyturn.core.observation.emergency import selects

LABELS = {"team": "auth", "tier": "gold"}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "takes"),
    [
        pytest.param({}, True, id="nothing asked for"),
        pytest.param({"matchLabels": {"team": "auth"}}, True, id="a label"),
        pytest.param({"matchLabels": {"team": "shop"}}, False, id="another value"),
        pytest.param({"matchLabels": {"zone": "eu"}}, False, id="a label that is not there"),
        pytest.param({"matchLabels": {"team": "auth", "zone": "eu"}}, False, id="one of two"),
        pytest.param(expression("team", "In", "auth", "shop"), True, id="in"),
        pytest.param(expression("team", "In", "shop"), False, id="not in what it has to be in"),
        pytest.param(expression("zone", "In", "eu"), False, id="in, without the label"),
        pytest.param(expression("team", "NotIn", "shop"), True, id="not in"),
        pytest.param(expression("team", "NotIn", "auth"), False, id="in what it must not be in"),
        pytest.param(expression("zone", "NotIn", "eu"), True, id="not in, without the label"),
        pytest.param(expression("team", "Exists"), True, id="exists"),
        pytest.param(expression("zone", "Exists"), False, id="does not exist though it should"),
        pytest.param(expression("zone", "DoesNotExist"), True, id="does not exist"),
        pytest.param(expression("team", "DoesNotExist"), False, id="exists though it should not"),
        pytest.param(
            {"matchLabels": {"team": "auth"}, **expression("tier", "NotIn", "gold")}, False, id="both kinds"
        ),
    ],
)
def test_a_selector_takes_what_kubernetes_would(selector: dict[str, Any], takes: bool) -> None:
    assert selects(LabelSelector.model_validate(selector), LABELS) is takes

"""What a label selector takes, as Kubernetes' own do."""

from typing import Any

from keyturn.api.meta import LabelSelector
from keyturn.core.observation.emergency import selects
from tests.support.cases import case, cases

LABELS = {"team": "auth", "tier": "gold"}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@cases(
    ("selector", "takes"),
    case("nothing asked for", {}, True),
    case("a label", {"matchLabels": {"team": "auth"}}, True),
    case("another value", {"matchLabels": {"team": "shop"}}, False),
    case("a label that is not there", {"matchLabels": {"zone": "eu"}}, False),
    case("one of two", {"matchLabels": {"team": "auth", "zone": "eu"}}, False),
    case("in", expression("team", "In", "auth", "shop"), True),
    case("not in what it has to be in", expression("team", "In", "shop"), False),
    case("in, without the label", expression("zone", "In", "eu"), False),
    case("not in", expression("team", "NotIn", "shop"), True),
    case("in what it must not be in", expression("team", "NotIn", "auth"), False),
    case("not in, without the label", expression("zone", "NotIn", "eu"), True),
    case("exists", expression("team", "Exists"), True),
    case("does not exist though it should", expression("zone", "Exists"), False),
    case("does not exist", expression("zone", "DoesNotExist"), True),
    case("exists though it should not", expression("team", "DoesNotExist"), False),
    case("both kinds", {"matchLabels": {"team": "auth"}, **expression("tier", "NotIn", "gold")}, False),
)
def test_a_selector_takes_what_kubernetes_would(selector: dict[str, Any], takes: bool) -> None:
    assert selects(LabelSelector.model_validate(selector), LABELS) is takes

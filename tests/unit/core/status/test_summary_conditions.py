from keyturn.core.observation.external import Health
from keyturn.core.status.conditions import stamp_all
from keyturn.core.status.summary import ConditionVerdict, changes_readiness, readiness_of
from tests.support.cases import case, cases
from tests.unit.core.builders import NOW

VALID = Health(is_ready=True, reason="Valid", message="as it is")
AWAY = Health(is_ready=False, reason="Unreachable", message="as it is", passes=True)
REFUSED = Health(is_ready=False, reason="AuthenticationFailed", message="as it is")


@cases(
    ("health", "statuses"),
    case("ready", VALID, {"Ready": "True"}),
    case("trouble that passes", AWAY, {"Ready": "False"}),
    case("trouble for a person", REFUSED, {"Ready": "False", "Stalled": "True"}),
)
def test_only_trouble_that_does_not_pass_stalls(health: Health, statuses: dict[str, str]) -> None:
    verdicts = dict(readiness_of(health))

    assert {type_: verdict.status for type_, verdict in verdicts.items()} == statuses
    assert {verdict[1:] for verdict in verdicts.values()} == {(health.reason, health.message)}


@cases(
    ("health", "changes"),
    case("the same", AWAY, False),
    case("another reason", REFUSED, True),
    case("another status", VALID._replace(reason="Unreachable"), True),
)
def test_readiness_changes_with_status_or_reason(health: Health, changes: bool) -> None:
    before = stamp_all([("Ready", ConditionVerdict("False", "Unreachable", "earlier words"))], (), NOW, 1)

    assert changes_readiness(health, before) is changes
    assert changes_readiness(health, [])


def test_a_message_is_cut_where_kubernetes_limits_it() -> None:
    (told,) = stamp_all([("Ready", ConditionVerdict("True", "Published", "x" * 40_000))], (), NOW, 1)
    assert len(told.message) == 32_768

"""Other operators of an account, and the health to report."""

from keyturn.core.observation.external import Health, manager_of, reported
from tests.support.cases import case, cases


@cases(
    ("labels", "operator", "label"),
    case(
        "the Secret of a Cluster",
        {"cnpg.io/cluster": "shop-db", "cnpg.io/userType": "app"},
        "CloudNativePG",
        "cnpg.io/cluster",
    ),
    case("that of a managed role", {"cnpg.io/reload": ""}, "CloudNativePG", "cnpg.io/reload"),
    case(
        "the Secret of a user of a postgresql",
        {"application": "spilo", "cluster-name": "acid-shop", "team": "acid"},
        "the operator of Zalando",
        "application=spilo",
    ),
)
def test_labels_name_the_operator(labels: dict[str, str], operator: str, label: str) -> None:
    found = manager_of(labels)

    assert found
    assert (found.operator, found.label) == (operator, label)


@cases(
    "labels",
    case("none", {}),
    case("another application", {"application": "shop", "cluster-name": "a", "team": "b"}),
    case("an application of that name alone", {"application": "spilo"}),
    case("labels that many use", {"cluster-name": "a", "team": "b"}),
)
def test_other_labels_name_none(labels: dict[str, str]) -> None:
    assert manager_of(labels) is None


VALID = Health(is_ready=True, reason="Valid", message="the last check succeeded")
AWAY = Health(is_ready=False, reason="Unreachable", message="Timeout", passes=True)
REFUSED = Health(is_ready=False, reason="AuthenticationFailed", message="refused")


@cases(
    ("before", "after", "is_news"),
    case("the first result", None, AWAY, True),
    case("a problem", VALID, AWAY, True),
    case("the end of a problem", AWAY, VALID, True),
    case("another message of one that lasts", REFUSED, REFUSED._replace(message="locked"), True),
    case("another message of one that passes", AWAY, AWAY._replace(message="NoAnswer"), False),
)
def test_a_problem_that_passes_is_reported_once(
    before: Health | None, after: Health, *, is_news: bool
) -> None:
    assert reported(before, after) is (after if is_news else before)

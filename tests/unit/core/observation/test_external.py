"""Other operators of an account, and the health to report."""

import pytest

from keyturn.core.observation.external import Health, manager_of, reported


@pytest.mark.parametrize(
    ("labels", "operator", "label"),
    [
        pytest.param(
            {"cnpg.io/cluster": "shop-db", "cnpg.io/userType": "app"},
            "CloudNativePG",
            "cnpg.io/cluster",
            id="the Secret of a Cluster",
        ),
        pytest.param({"cnpg.io/reload": ""}, "CloudNativePG", "cnpg.io/reload", id="that of a managed role"),
        pytest.param(
            {"application": "spilo", "cluster-name": "acid-shop", "team": "acid"},
            "the operator of Zalando",
            "application=spilo",
            id="the Secret of a user of a postgresql",
        ),
    ],
)
def test_labels_name_the_operator(labels: dict[str, str], operator: str, label: str) -> None:
    found = manager_of(labels)

    assert found
    assert (found.operator, found.label) == (operator, label)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="none"),
        pytest.param({"application": "shop", "cluster-name": "a", "team": "b"}, id="another application"),
        pytest.param({"application": "spilo"}, id="an application of that name alone"),
        pytest.param({"cluster-name": "a", "team": "b"}, id="labels that many use"),
    ],
)
def test_other_labels_name_none(labels: dict[str, str]) -> None:
    assert manager_of(labels) is None


VALID = Health(is_ready=True, reason="Valid", message="the last check succeeded")
AWAY = Health(is_ready=False, reason="Unreachable", message="Timeout", passes=True)
REFUSED = Health(is_ready=False, reason="AuthenticationFailed", message="refused")


@pytest.mark.parametrize(
    ("before", "after", "is_news"),
    [
        pytest.param(None, AWAY, True, id="the first result"),
        pytest.param(VALID, AWAY, True, id="a problem"),
        pytest.param(AWAY, VALID, True, id="the end of a problem"),
        pytest.param(
            REFUSED, REFUSED._replace(message="locked"), True, id="another message of one that lasts"
        ),
        pytest.param(AWAY, AWAY._replace(message="NoAnswer"), False, id="another message of one that passes"),
    ],
)
def test_a_problem_that_passes_is_reported_once(
    before: Health | None, after: Health, *, is_news: bool
) -> None:
    assert reported(before, after) is (after if is_news else before)

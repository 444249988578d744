"""Which labels of a Secret tell that another operator sets its password at a database server."""

from __future__ import annotations

import pytest

from keyturn.core.observation.account_manager import manager_of


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
            "Zalando's operator",
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

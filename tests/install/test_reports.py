"""Which ConfigMaps the operator may write: reports of emergencies, and no other one of anybody."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.install.installation import Installation

_OPERATOR = "system:serviceaccount:keyturn-system:keyturn"
_OWNER = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "EmergencyRotation", "name": "inc-1", "uid": "1"}


def config_map(name: str = "inc-1-report", *owners: dict[str, str]) -> dict[str, Any]:
    """Build a ConfigMap that belongs to `owners`."""
    metadata = {"name": name, "namespace": "shop", "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"report.md": "text"}}


def refusal(installation: Installation, verb: str, body: dict[str, Any], *more: str) -> str:
    """Say why the operator may not write a ConfigMap; nothing where it may."""
    done = installation.kubectl.run(verb, f"--as={_OPERATOR}", *more, "-f", "-", given=body)
    return "" if done.returncode == 0 else done.stderr.rpartition("denied request: ")[2].strip()


@pytest.fixture
def theirs(cluster_wide: Installation) -> Iterator[str]:
    """A ConfigMap of somebody else that has a report's name."""
    body = config_map("theirs-report")
    cluster_wide.kubectl("create", "-f", "-", given=body)
    yield "theirs-report"
    cluster_wide.kubectl("delete", "configmap", "theirs-report", "-n", "shop")


def test_it_may_write_a_report(cluster_wide: Installation) -> None:
    assert refusal(cluster_wide, "create", config_map("inc-1-report", _OWNER), "--dry-run=server") == ""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(config_map(), id="one that belongs to nobody"),
        pytest.param(
            config_map("inc-1-report", _OWNER | {"kind": "ManagedSecret"}), id="one of another kind"
        ),
        pytest.param(config_map("inc-1-report", _OWNER | {"apiVersion": "v1"}), id="one of another group"),
        pytest.param(config_map("coredns", _OWNER), id="one of another name"),
        pytest.param(config_map("inc-2-report", _OWNER), id="one of another emergency"),
    ],
)
def test_it_may_write_no_other(body: dict[str, Any], cluster_wide: Installation) -> None:
    assert refusal(cluster_wide, "create", body, "--dry-run=server") == (
        "Keyturn writes only the report of an EmergencyRotation"
    )


def test_it_may_not_take_one_over(theirs: str, cluster_wide: Installation) -> None:
    body = config_map(theirs, _OWNER | {"name": "theirs"})

    assert refusal(cluster_wide, "replace", body) == "Keyturn changes only the report of an EmergencyRotation"


def test_others_are_not_concerned(cluster_wide: Installation) -> None:
    done = cluster_wide.kubectl.run("create", "--dry-run=server", "-f", "-", given=config_map("notes"))

    assert done.returncode == 0

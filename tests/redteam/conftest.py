from collections.abc import Iterator

import pytest

from sandbox import ControlPlane
from tests.redteam.target import AttackTarget
from tests.redteam.tenant import OtherTenant, tenant


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """A cluster of this folder's own: its attackers are nobody's neighbours."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="package")
def target(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackTarget]:
    with AttackTarget.of(plane, tmp_path_factory.mktemp("redteam")) as target:
        yield target


@pytest.fixture(scope="package")
def next_door(target: AttackTarget) -> Iterator[OtherTenant]:
    with tenant(target) as next_door:
        yield next_door

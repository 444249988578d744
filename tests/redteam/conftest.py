from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import ControlPlane
from tests.redteam.field import Field
from tests.redteam.neighbour import Neighbour, neighbour

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """A cluster of this folder's own: its attackers are nobody's neighbours."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="package")
def field(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with Field.of(plane, tmp_path_factory.mktemp("redteam")) as field:
        yield field


@pytest.fixture(scope="package")
def next_door(field: Field) -> Iterator[Neighbour]:
    with neighbour(field) as next_door:
        yield next_door

from pathlib import Path

import pytest

from release import image as images
from tests.image.container import Container, Image


@pytest.fixture(scope="session")
def archive() -> Path:
    """The archive of what is checked out; whoever uses it gives its build time: pytest.mark.timeout(SECONDS)."""
    return images.archive()


@pytest.fixture(scope="session")
def image(archive: Path) -> Image:
    return Image.read(archive)


@pytest.fixture(scope="session")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Container:
    return Container.unpack(image, tmp_path_factory.mktemp("root"))

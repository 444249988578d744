"""The operator as its image ships it: Debian's interpreter, and the packages of the image alone."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from release import image
from release.container import Container
from release.errors import ReleaseError
from release.oci import Image

from .errors import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What runs the operator."""

    version: str
    container: Container | None = None
    """The image's files; None for the interpreter of the benchmark."""


HERE = Interpreter(platform.python_version())
"""The interpreter of the benchmark."""


@contextmanager
def interpreter(*, of_image: bool) -> Iterator[Interpreter]:
    """Build the image and unpack it until the block ends, or take the interpreter of the benchmark.

    Raises:
        BenchmarkError: The image cannot be built or run here.
    """
    if not of_image:
        yield HERE
        return
    if os.geteuid():
        raise BenchmarkError("--image needs root: the operator runs in namespaces of its own")
    with tempfile.TemporaryDirectory(prefix="keyturn-image-") as folder:
        try:
            container = Container.unpack(Image.read(image.archive()), Path(folder))
            version = container.python("import platform; print(platform.python_version())").strip()
        except (ReleaseError, subprocess.TimeoutExpired) as error:
            raise BenchmarkError(str(error)) from error
        yield Interpreter(f"{version} of the image", container)

"""Which packages an archive of the command line holds: a list in CycloneDX, read from the archive itself."""

from __future__ import annotations

import tarfile
import uuid
from datetime import UTC, datetime
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from keyturn import __version__

from . import sums

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

    from .checkout import Checkout

__all__ = ["of_archive"]


def of_archive(archive: Path, source: Checkout) -> str:
    """Return the list of an archive; the same archive has the same list."""
    ours = Component(
        name="keyturn",
        version=__version__,
        type=ComponentType.APPLICATION,
        licenses=[LicenseExpression("Apache-2.0")],
        bom_ref="keyturn",
    )
    parts = sorted({_component(metadata) for metadata in _metadata(archive)})
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{sums.digest(archive)}"),
        components=parts,
        metadata=BomMetaData(component=ours, timestamp=datetime.fromtimestamp(source.committed, UTC)),
    )
    bom.register_dependency(ours, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _metadata(archive: Path) -> Iterator[Message]:
    """Read what each package in the archive says of itself."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".dist-info/METADATA") and (file := tar.extractfile(member)):
                yield HeaderParser().parsestr(file.read().decode())


def _component(metadata: Message) -> Component:
    name, version = metadata["Name"].lower().replace("_", "-"), metadata["Version"]
    purl = PackageURL("pypi", name=name, version=version)
    expression = metadata["License-Expression"]
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseExpression(expression)] if expression else (),
    )

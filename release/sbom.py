"""The list of an image's parts for tools that look for vulnerable ones and for licences: CycloneDX 1.6.

Source: CycloneDX 1.6; the names of packages are package URLs (purl).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from .contents import Part, parts

if TYPE_CHECKING:
    from cyclonedx.model.license import License

    from .oci import Image

__all__ = ["of"]

_SERIES: Final = UUID("3b0d6f0e-6a8a-4f0c-9a3d-0f6f5b1f7a55")
"""Lists of the same image have the same number."""
_LABELS: Final = "org.opencontainers.image."


def of(image: Image) -> str:
    """Write the list of one image; the same image has the same list."""
    whole = _whole(image)
    components = [_component(part) for part in parts(image)]
    bom = Bom(
        serial_number=uuid5(_SERIES, image.digest),
        metadata=BomMetaData(
            component=whole, timestamp=datetime.fromisoformat(image.labels[f"{_LABELS}created"])
        ),
        components=components,
    )
    bom.register_dependency(whole, components)
    return f"{JsonV1Dot6(bom).output_as_string(indent=2)}\n"


def _whole(image: Image) -> Component:
    name, _, version = image.name.rpartition(":")
    short = name.rpartition("/")[2]
    return Component(
        type=ComponentType.CONTAINER,
        bom_ref=f"{short}@{image.digest}",
        name=short,
        version=version,
        purl=PackageURL(
            "oci", None, short, image.digest, {"arch": image.config["architecture"], "tag": version}
        ),
        hashes=_hashes(image.digest.removeprefix("sha256:")),
        licenses=_licenses(image.labels[f"{_LABELS}licenses"]),
    )


def _component(part: Part) -> Component:
    return Component(
        bom_ref=part.purl.to_string(),
        name=part.name,
        version=part.version,
        purl=part.purl,
        hashes=_hashes(part.sha256),
        licenses=_licenses(*part.licenses),
    )


def _hashes(sha256: str | None) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []


def _licenses(*names: str) -> list[License]:
    """Take one as the expression that it may be; several are names, since a list has no expressions beside them."""
    factory = LicenseFactory()
    if len(names) == 1:
        return [factory.make_from_string(names[0])]
    return [factory.make_with_name(name) for name in names]

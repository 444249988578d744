"""The list of the image's parts, as tools that look for vulnerable ones read it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from keyturn import __version__
from release import bases, sbom
from tests.conftest import ROOT
from tests.image.seconds import SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from release.oci import Image

pytestmark = pytest.mark.timeout(SECONDS)


@pytest.fixture(scope="module")
def text(archive: Path) -> str:
    return archive.with_name(f"{archive.name}.cdx.json").read_text()


@pytest.fixture(scope="module")
def parts(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["components"]
    return found


def of_kind(parts: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in parts if PackageURL.from_string(part["purl"]).type == kind}


def sha256(part: dict[str, Any]) -> str:
    (found,) = part["hashes"]
    assert found["alg"] == "SHA-256"
    return str(found["content"])


def test_it_is_valid_by_the_schema(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_validator_of_these_tests_refuses_what_is_wrong(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"purl"', '"pearl"')) is not None


def test_it_is_of_this_image(text: str, image: Image) -> None:
    about = json.loads(text)["metadata"]["component"]

    assert (about["type"], about["name"], about["version"]) == ("container", "keyturn", __version__)
    assert f"sha256:{sha256(about)}" == image.digest


def test_the_same_image_has_the_same_list(text: str, image: Image) -> None:
    assert sbom.of(image) == text


def test_each_package_of_python_has_a_hash_of_the_lock(parts: list[dict[str, Any]]) -> None:
    lock = (ROOT / "requirements-operator.txt").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", lock, re.MULTILINE))
    found = of_kind(parts, "pypi")

    assert {
        canonicalize_name(name): part["version"] for name, part in found.items()
    }.items() <= pinned.items()
    assert len(found) > 50
    assert [name for name, part in found.items() if f"sha256:{sha256(part)}" not in lock] == []


def test_each_package_of_debian_has_its_version_and_a_hash(parts: list[dict[str, Any]]) -> None:
    found = of_kind(parts, "deb")

    assert set(found) == set(bases.RUN)
    assert {re.fullmatch(r"[0-9a-f]{64}", sha256(part)) is not None for part in found.values()} == {True}
    assert {PackageURL.from_string(part["purl"]).qualifiers["distro"] for part in found.values()} == {
        "debian-13"
    }


def test_our_own_package_comes_from_no_index(parts: list[dict[str, Any]]) -> None:
    assert of_kind(parts, "generic").keys() == {"keyturn"}


def test_the_licence_of_nearly_every_part_is_known(parts: list[dict[str, Any]]) -> None:
    unknown = {part["name"] for part in parts if not part.get("licenses")}

    assert len(unknown) <= len(parts) // 10, unknown

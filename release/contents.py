"""Which packages an image consists of: as its own files tell, and not the machine that built it."""

from __future__ import annotations

import email
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from packageurl import PackageURL

from . import slim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from email.message import Message

    from .oci import Image

__all__ = ["Part", "parts"]

_READ: Final = re.compile(
    r".*\.dist-info/METADATA|var/lib/dpkg/status\.d/[^/]+|usr/share/doc/[^/]+/copyright|usr/lib/os-release"
    rf"|opt/[^/]+/{re.escape(slim.INSTALLED)}"
)
_OURS: Final = "keyturn"


@dataclass(frozen=True, slots=True)
class Part:
    """One package of an image."""

    name: str
    version: str
    purl: PackageURL
    licenses: tuple[str, ...] = field(default=())
    """In the words of the package; empty where they are not known."""
    sha256: str | None = None
    """Of the archive that it was installed from; None where no file of the image says."""


def parts(image: Image) -> list[Part]:
    """List the packages of Debian and of Python, sorted by their addresses."""
    files = dict(_texts(image))
    found = [*_of_debian(files), *_of_python(files)]
    return sorted(found, key=lambda part: part.purl.to_string())


def _texts(image: Image) -> Iterator[tuple[str, str]]:
    for entry, read in image.entries():
        if entry.isreg() and _READ.fullmatch(entry.name):
            yield entry.name, read().decode()


def _of_debian(files: Mapping[str, str]) -> Iterator[Part]:
    system = dict(re.findall(r'^(\w+)="?(.*?)"?$', files["usr/lib/os-release"], re.MULTILINE))
    distribution = f"{system['ID']}-{system['VERSION_ID']}"
    for text in _matching(files, r"var/lib/dpkg/status\.d/(?!.*\.md5sums$).*"):
        about = email.message_from_string(text)
        name, version = about["Package"], about["Version"]
        qualifiers = {"arch": about["Architecture"], "distro": distribution}
        terms = files.get(f"usr/share/doc/{name}/copyright", "")
        yield Part(
            name,
            version,
            PackageURL("deb", system["ID"], name, version, qualifiers),
            tuple(sorted(set(re.findall(r"^License: *(\S.*?)\s*$", terms, re.MULTILINE)))),
            about["SHA256"],
        )


def _of_python(files: Mapping[str, str]) -> Iterator[Part]:
    (listed,) = _matching(files, rf"opt/[^/]+/{re.escape(slim.INSTALLED)}")
    hashes = {archive["name"]: archive["sha256"] for archive in json.loads(listed)}
    for text in _matching(files, r".*\.dist-info/METADATA"):
        about = email.message_from_string(text)
        name, version = about["Name"], about["Version"]
        kind = "generic" if name == _OURS else "pypi"  # ours comes from no index
        yield Part(name, version, PackageURL(kind, None, name, version), _terms(about), hashes.get(name))


def _terms(about: Message) -> tuple[str, ...]:
    """Read the licence as an expression, as a classifier, or as one line of words."""
    if expression := about["License-Expression"]:
        return (expression,)
    classifiers = about.get_all("Classifier") or ()
    named = [
        text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: OSI Approved :: ")
    ]
    free = about["License"] or ""
    return tuple(sorted(named)) or ((free,) if free and "\n" not in free else ())


def _matching(files: Mapping[str, str], pattern: str) -> Iterable[str]:
    return [text for name, text in files.items() if re.fullmatch(pattern, name)]

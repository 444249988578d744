"""The Krew manifest of the plugin: for each platform the address and the files of its archive.

Source: Krew, "Writing Krew plugin manifests".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keyturn import __version__

from .errors import ReleaseError
from .plugin import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FROZEN", "PORTABLE", "Form", "manifest"]

_PLATFORM = rf"_v{re.escape(__version__)}_([a-z0-9]+)_([a-z0-9_]+)\.tar\.gz"
_DESCRIPTION = """\
Says of every ManagedSecret whether it is due, overdue, rolling or failed, what
a rotation would do, and does it; declares emergencies, goes through the
checklist, and backs values up. Needs the Keyturn operator in the cluster;
`init`, `render` and `run-with` need no cluster.
"""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of archive: how its name begins, which of its files become the plugin, what users need beside it."""

    prefix: str
    files: str
    caveats: str | None = None


FROZEN = Form(NAME, "*")
"""One program, with a Python in it, as `make plugin` makes it."""
PORTABLE = Form(
    "keyturn",
    f"keyturn-{__version__}/*",
    "Needs CPython 3.11 to 3.14 on PATH, or its path in KEYTURN_PYTHON; on Linux with glibc 2.28 or newer.",
)
"""Packages for a Python of the user's, as `make release` makes it."""


def manifest(folder: Path, url: str, form: Form = FROZEN) -> Mapping[str, Any]:
    """Describe the archives of this version that are in a folder and will be served below a URL."""
    if urlsplit(url).scheme != "https" or not urlsplit(url).netloc:
        raise ReleaseError("say where the archives will be served: --url https://…")
    name = re.compile(re.escape(form.prefix) + _PLATFORM)
    found = [(path, of) for path in sorted(folder.glob("*.tar.gz")) if (of := name.fullmatch(path.name))]
    if not found:
        raise ReleaseError(f"no archive of version {__version__} is in {folder}; make plugin makes one")
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "keyturn"},
        "spec": {
            "version": f"v{__version__}",
            "shortDescription": "See, plan and trigger rotations of secrets",
            "description": _DESCRIPTION,
            **({"caveats": form.caveats} if form.caveats else {}),
            "platforms": [_platform(path, url, form, *of.groups()) for path, of in found],
        },
    }


def _platform(archive: Path, url: str, form: Form, system: str, architecture: str) -> Mapping[str, Any]:
    return {
        "selector": {"matchLabels": {"os": system, "arch": architecture}},
        "uri": f"{url.rstrip('/')}/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "bin": f"{NAME}.exe" if system == "windows" else NAME,
        "files": [{"from": form.files, "to": "."}],
    }

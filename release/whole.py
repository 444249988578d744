"""What `make release` makes: every file of a release, what tells of its origin, and the signatures.

A folder has the release's name only once all of it is there. Made again from the same commit on the same machine,
every file is the same.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import yaml

from . import bill, chart, checkout, image, krew, notes, olm, packing, portable, provenance, sums
from .errors import ReleaseError
from .signing import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .checkout import Checkout

__all__ = ["LEFT_OUT", "Order", "make"]

SUMS = "SHA256SUMS"
LEFT_OUT: Mapping[str, str] = {
    "image": "the image and the list of its parts",
    "bundle": "the bundle for OperatorHub",
    "cli": "the archives of the command line, the list of their parts, and the Krew manifest",
}
"""What can be left out where it cannot be made, in the words in which that is said."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made."""

    version: str
    repository: str
    """Where the source is, as people open it."""
    url: str
    """Where the files will be served."""
    builder: str
    key: Path | None
    """None: nothing is signed."""
    image: str | None
    """The name of the image that the bundle starts; None only without the bundle."""
    without: frozenset[str]
    snapshot: bool
    """Files may differ from the commit, and the changelog's section may have no date."""


_Part: TypeAlias = Callable[[Path, Order, "Checkout"], object]


def make(order: Order, dist: Path) -> Path:
    """Make the release in a folder of its own below `dist`; return that folder."""
    signer = None if order.key is None else Signer.from_file(order.key)
    source = _checked(order)
    target = dist / f"keyturn-{order.version}"
    with _workplace(dist) as folder:
        for name, part in _parts(order).items():
            print(f"release: {name} …", flush=True)
            part(folder, order, source)
        _describe(folder, order, source)
        if signer:
            _sign(folder, signer)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    for name in sorted(order.without):
        print(f"release: left out, as asked: {LEFT_OUT[name]}")
    return target


def _checked(order: Order) -> Checkout:
    """Refuse what must not be released, before anything is made."""
    checkout.check_version(order.version)
    if order.image is None and "bundle" not in order.without:
        raise ReleaseError(
            f"name the image that the bundle starts, such as IMAGE=registry.example.com/keyturn:{order.version};"
            " to make the release without the bundle, say WITHOUT=bundle"
        )
    notes.notes(order.version, dated=not order.snapshot)
    source = checkout.read()
    if source.changes and not order.snapshot:
        listed = "".join(f"\n  {path}" for path in source.changes[:10])
        raise ReleaseError(
            f"the checkout differs from the commit {source.commit[:12]}; commit, or make a snapshot:{listed}"
        )
    return source


@contextmanager
def _workplace(dist: Path) -> Iterator[Path]:
    """Give an empty folder below `dist`, and remove what an earlier run left that was killed."""
    dist.mkdir(parents=True, exist_ok=True)
    with (dist / ".release.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReleaseError(f"another process makes a release in {dist}; wait for its end") from error
        for leftover in dist.glob(".release-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=dist, prefix=".release-") as scratch:
            folder = Path(scratch) / "release"
            folder.mkdir()
            yield folder


def _parts(order: Order) -> Mapping[str, _Part]:
    """Name what is made, in its order; the image comes first, since not every machine can make one."""
    parts: dict[str, _Part] = {}
    if "image" not in order.without:
        parts["the image"] = _image
    parts["the chart"] = _chart
    if order.image is not None:
        parts["the bundle for OperatorHub"] = partial(_bundle, order.image)
    parts |= {
        "the notes": lambda folder, order, _: (folder / "NOTES.md").write_text(
            notes.notes(order.version, dated=not order.snapshot)
        ),
    }
    if "cli" not in order.without:
        for platform in portable.PLATFORMS:
            parts[f"the command line for {platform.system}/{platform.architecture}"] = _archive_for(platform)
        parts["what the command line consists of"] = _bills
        parts["the Krew manifest"] = _krew
    return parts


def _image(folder: Path, *_: object) -> None:
    try:
        archive = image.archive()
    except ReleaseError as error:
        raise ReleaseError(f"{error}\nTo make the release without the image, say WITHOUT=image") from error
    for path in (archive, archive.with_name(f"{archive.name}.cdx.json")):
        shutil.copy(path, folder)


def _chart(folder: Path, _: Order, source: Checkout) -> None:
    chart.layout(chart.package(folder, source.committed), folder)


def _bundle(image_name: str, folder: Path, order: Order, source: Checkout) -> None:
    with tempfile.TemporaryDirectory(prefix="keyturn-bundle-") as scratch:
        made = olm.write(Path(scratch) / "bundle", image_name)
        files = packing.files_of(made, "bundle/")
        packing.pack_gzipped(files, folder / f"keyturn-bundle-{order.version}.tar.gz", source.committed)


def _archive_for(platform: portable.Platform) -> _Part:
    return lambda folder, _, source: portable.build(platform, folder, source)


def _bills(folder: Path, _: Order, source: Checkout) -> None:
    for platform in portable.PLATFORMS:
        archive = folder / platform.archive_name
        archive.with_name(f"{archive.name}.cdx.json").write_text(bill.of_archive(archive, source))


def _krew(folder: Path, order: Order, _: Checkout) -> None:
    body = krew.manifest(folder, order.url, krew.PORTABLE)
    (folder / "keyturn.yaml").write_text(yaml.safe_dump(body, sort_keys=False))


def _describe(folder: Path, order: Order, source: Checkout) -> None:
    """Write the digests and the origin of all that was made."""
    files = sorted(folder.iterdir())
    origin = provenance.Origin(order.repository, order.builder, source)
    parameters = {"version": order.version, "without": sorted(order.without), "snapshot": order.snapshot}
    statement = folder / "provenance.json"
    statement.write_bytes(provenance.statement(files, origin, parameters))
    (folder / SUMS).write_text(sums.sums([*files, statement]))


def _sign(folder: Path, signer: Signer) -> None:
    """Sign every file, and the statement of origin in an envelope of its own."""
    statement = folder / "provenance.json"
    for path in sorted(folder.iterdir()):
        if path != statement:
            signer.sign_file(path)
    envelope = provenance.envelope(statement.read_bytes(), signer)
    (folder / "provenance.intoto.jsonl").write_bytes(envelope)
    (folder / "keyturn.pub").write_bytes(signer.public())

"""An image of a folder has its files, links and folders, without what differs between machines."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

from sandbox.node import images

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_is_in_the_image_without_owners_and_times(tmp_path: Path) -> None:
    tree, program = tmp_path / "tree", tmp_path / "program"
    (tree / "tmp").mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    (tree / "file").write_text("text")
    (tree / "file").chmod(0o600)
    os.utime(tree / "file", (1, 1))
    (tree / "link").symlink_to("/elsewhere/file")
    program.write_text("program")

    image = images.Image(
        "keyturn.invalid/test:1", {"/program": program}, ("/program",), tree=tree, environment={"A": "b"}
    )
    images.write(image, tmp_path / "image.tar")

    layer, config = read(tmp_path / "image.tar")
    assert {name: (one.mode, one.linkname) for name, one in layer.items()} == {
        "tmp": (0o1777, ""),
        "file": (0o644, ""),
        "link": (0o777, "/elsewhere/file"),
        "program": (0o755, ""),
    }
    assert {(one.uid, one.gid, one.uname, one.mtime) for one in layer.values()} == {(0, 0, "", 0)}
    assert config["Env"] == ["A=b"]


def read(archive: Path) -> tuple[dict[str, tarfile.TarInfo], dict[str, list[str]]]:
    """Return the entries of the layer of an image, and what its containers are started with."""
    with tarfile.open(archive) as outer:

        def blob(digest: str) -> bytes:
            file = outer.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file
            return file.read()

        index = outer.extractfile("index.json")
        assert index
        manifest = json.loads(blob(json.load(index)["manifests"][0]["digest"]))
        layer = gzip.decompress(blob(manifest["layers"][0]["digest"]))
        config = json.loads(blob(manifest["config"]["digest"]))["config"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        return {entry.name: entry for entry in inner}, config

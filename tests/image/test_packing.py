"""The archive of an image depends on what is in it, and not on what was built before."""

import hashlib
import json
from pathlib import Path
from typing import Any

from release.image import pack
from tests.image.container import Image

_NAME = "keyturn.invalid/keyturn:1"


def built(folder: Path, step: str) -> Path:
    """Write a layout as buildah does, with the number that a step between had; return its archive."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    history = [{"created_by": "LABEL"}, {"created_by": "COPY", "comment": f"FROM {step}"}]
    config = blob(json.dumps({"config": {"Labels": {"a": "b"}}, "history": history}).encode())
    base = {"org.opencontainers.image.base.digest": f"sha256:{step}"}
    manifest = {"config": config, "layers": [blob(b"layer")], "annotations": base}
    (folder / "index.json").write_text(json.dumps({"manifests": [blob(json.dumps(manifest).encode())]}))
    (folder / "oci-layout").write_text("{}")
    pack(folder, _NAME, folder / "image.tar")
    return folder / "image.tar"


def test_steps_of_another_build_make_the_same_archive(tmp_path: Path) -> None:
    first, second = (built(tmp_path / step, step) for step in ("548728eeef5e", "555182ecb851"))

    assert first.read_bytes() == second.read_bytes()


def test_what_the_archive_names_is_in_it(tmp_path: Path) -> None:
    image = Image.read(built(tmp_path / "layout", "548728eeef5e"))

    assert (image.name, image.labels) == (_NAME, {"a": "b"})
    assert [step["created_by"] for step in image.config["history"]] == ["LABEL", "COPY"]
    assert image.size == len(b"layer")

"""kubectl reads the YAML that the commands write with the types that it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from keyturn.runtime.yaml_dumper import dump
from tests.unit.runtime.test_yaml_dumper import PLAIN, QUOTED

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.harness import Kubectl


def test_kubectl_reads_every_text_as_a_text(kubectl: Kubectl, tmp_path: Path) -> None:
    texts = {f"key-{number}": text for number, text in enumerate((*QUOTED, *PLAIN))}
    metadata = {"name": "texts"}
    body = {"apiVersion": "example.com/v1", "kind": "Texts", "metadata": metadata, "spec": texts}

    file = tmp_path / "texts.yaml"
    file.write_text(dump(body))

    read = json.loads(kubectl("label", "--local", "-f", str(file), "a=b", "-o", "json"))

    assert read["spec"] == texts

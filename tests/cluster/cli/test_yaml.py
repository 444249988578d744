"""kubectl reads the YAML that the commands write with the types that it has, and they read YAML as kubectl does."""

import json
from pathlib import Path

from keyturn.runtime import yaml_text
from keyturn.runtime.yaml_text import dump
from sandbox.harness import Kubectl
from tests.unit.runtime.test_yaml_text import OTHERS, PLAIN, QUOTED, TEXTS


def test_kubectl_reads_every_text_as_a_text(kubectl: Kubectl, tmp_path: Path) -> None:
    texts = {f"key-{number}": text for number, text in enumerate((*QUOTED, *PLAIN))}
    metadata = {"name": "texts"}
    body = {"apiVersion": "example.com/v1", "kind": "Texts", "metadata": metadata, "spec": texts}

    file = tmp_path / "texts.yaml"
    file.write_text(dump(body))

    read = json.loads(kubectl("label", "--local", "-f", str(file), "a=b", "-o", "json"))

    assert read["spec"] == texts


def test_a_manifest_is_read_as_kubectl_reads_it(kubectl: Kubectl, tmp_path: Path) -> None:
    plain = [*TEXTS, *OTHERS, *PLAIN]
    head = "apiVersion: example.com/v1\nkind: Texts\nmetadata: {name: texts}\nspec:\n"
    file = tmp_path / "texts.yaml"
    others = "  1: a number\n  on: a boolean\n  1.5: a fraction\n  tagged: !x a text\n"
    file.write_text(head + others + "".join(f"  key-{number}: {text}\n" for number, text in enumerate(plain)))

    read = json.loads(kubectl("label", "--local", "-f", str(file), "a=b", "-o", "json"))

    assert [one["spec"] for one in yaml_text.load_all(file.read_bytes())] == [read["spec"]]

"""The statement of origin says what was made of which commit, and its envelope is signed as DSSE has it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from release import provenance
from release.checkout import Checkout
from release.signing import Signer
from tests.conftest import ROOT
from tests.release.test_signing import key, openssl

if TYPE_CHECKING:
    from pathlib import Path

_COMMIT = "17cd3115a2b417cd3115a2b417cd3115a2b417cd"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.write_text(path.name)
    return paths


def origin(*changes: str) -> provenance.Origin:
    source = Checkout(_COMMIT, 1_000_000_000, changes)
    return provenance.Origin("https://github.com/keyturn/keyturn", "https://builder.example.com", source)


def said(files: list[Path], *changes: str) -> Any:
    return json.loads(provenance.statement(files, origin(*changes), {"version": "0.1.0"}))


def test_it_names_each_file_by_its_digest(files: list[Path]) -> None:
    assert said(files)["subject"] == [
        {"name": name, "digest": {"sha256": hashlib.sha256(name.encode()).hexdigest()}}
        for name in ("one", "two")
    ]


def test_it_names_commit_locks_and_builder(files: list[Path]) -> None:
    body = said(files)
    predicate = body["predicate"]
    commit, *locks = predicate["buildDefinition"]["resolvedDependencies"]

    assert (body["_type"], body["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert commit == {"uri": "git+https://github.com/keyturn/keyturn", "digest": {"gitCommit": _COMMIT}}
    assert {lock["name"]: lock["digest"]["sha256"] for lock in locks} == {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*ROOT.glob("requirements*.txt"), *ROOT.glob("release/*.txt")]
    }
    assert predicate["runDetails"] == {"builder": {"id": "https://builder.example.com"}}
    assert predicate["buildDefinition"]["externalParameters"] == {
        "version": "0.1.0",
        "repository": "https://github.com/keyturn/keyturn",
    }


def test_it_says_that_files_differ_from_the_commit(files: list[Path]) -> None:
    (commit, *_) = said(files, "README.md")["predicate"]["buildDefinition"]["resolvedDependencies"]

    assert commit["annotations"] == {"changedSince": ["README.md"]}


def test_openssl_verifies_the_envelope(files: list[Path], tmp_path: Path) -> None:
    signer = Signer.from_file(key(tmp_path))
    payload = provenance.statement(files, origin(), {})
    body = json.loads(provenance.envelope(payload, signer))

    # Written out here as the protocol has it, so that a mistake of ours does not verify itself.
    kind = "application/vnd.in-toto+json"
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + base64.b64decode(body["payload"])
    parts = {"signed": signed, "sig": base64.b64decode(body["signatures"][0]["sig"]), "pub": signer.public()}
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    done = openssl(
        *("dgst", "-sha256", "-verify", str(tmp_path / "pub")),
        *("-signature", str(tmp_path / "sig"), str(tmp_path / "signed")),
    )

    assert (body["payloadType"], done.stdout) == (kind, "Verified OK\n")

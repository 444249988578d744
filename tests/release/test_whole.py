"""`make release` makes every file at once, the same each time, or says what keeps it from that."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from keyturn import __version__
from release import checkout, image, notes, olm, portable, provenance, whole
from release.errors import ReleaseError
from sandbox.harness import eventually
from tests.conftest import ROOT
from tests.release.installed import release
from tests.release.sigstore import verifies_blob, verifies_envelope
from tests.release.test_signing import key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)
_COMMIT = checkout.Checkout("17cd3115a2b417cd3115a2b417cd3115a2b417cd", 1_000_000_000, ())
_URL = "https://downloads.example.com/keyturn"
_ORDER = whole.Order(
    version=__version__,
    repository="https://github.com/keyturn/keyturn",
    url=_URL,
    builder=provenance.BY_HAND,
    key=None,
    image="registry.example.com/keyturn:0.1.0",
    without=frozenset({"image"}),
    snapshot=True,
)
_CHEAP = replace(_ORDER, without=frozenset({"cli", "image"}))


@pytest.fixture(scope="module", autouse=True)
def _one_archive_of_a_commit() -> Iterator[None]:
    """Make archives for one platform and one release of Python, of two packages, of a checkout that is as committed.

    test_portable.py makes them with all that belongs into them.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(portable, "PYTHONS", ("3.13",))
        patched.setattr(portable, "PLATFORMS", portable.PLATFORMS[-1:])
        patched.setattr(portable, "distributions", lambda: frozenset({"click", "orjson"}))
        patched.setattr(checkout, "read", lambda: _COMMIT)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with all that can be made anywhere, signed."""
    folder = tmp_path_factory.mktemp("release")
    return whole.make(replace(_ORDER, key=key(folder)), folder / "dist")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_is_there(made: Path) -> None:
    archive = f"keyturn_v{__version__}_darwin_arm64.tar.gz"
    signed = {
        "NOTES.md",
        "SHA256SUMS",
        f"keyturn-{__version__}.tgz",
        f"keyturn-chart-{__version__}.oci.tar",
        f"keyturn-bundle-{__version__}.tar.gz",
        archive,
        f"{archive}.cdx.json",
        "keyturn.yaml",
    }

    assert made.name == f"keyturn-{__version__}"
    assert set(files(made)) == {
        *signed,
        *(f"{name}.sig" for name in signed),
        "provenance.json",
        "provenance.intoto.jsonl",
        "keyturn.pub",
    }
    assert [path.name for path in made.parent.iterdir() if path != made] == [".release.lock"]


def test_sha256sum_checks_every_file_but_signatures(made: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=made,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout
    unchecked = set(files(made)) - set(re.findall(r"^(\S+): OK$", done.stdout, re.MULTILINE))
    assert {name for name in unchecked if not name.endswith(".sig")} == {
        "SHA256SUMS",
        "provenance.intoto.jsonl",
        "keyturn.pub",
    }


def test_cosign_verifies_every_signature(made: Path) -> None:
    signatures = sorted(made.glob("*.sig"))

    assert signatures
    assert [
        signature.name
        for signature in signatures
        if not verifies_blob(made / signature.name.removesuffix(".sig"), signature, made / "keyturn.pub")
    ] == []
    assert not verifies_blob(made / "NOTES.md", signatures[-1], made / "keyturn.pub")


def test_cosign_verifies_the_envelope_of_the_statement(made: Path, tmp_path: Path) -> None:
    envelope = made / "provenance.intoto.jsonl"
    body = json.loads(envelope.read_bytes())
    payload = base64.b64decode(body["payload"])
    forged = base64.b64encode(payload.replace(_COMMIT.commit.encode(), b"0" * 40)).decode()
    (tmp_path / "forged").write_text(json.dumps({**body, "payload": forged}))

    assert payload == (made / "provenance.json").read_bytes()
    assert verifies_envelope(envelope, made / "keyturn.pub")
    assert not verifies_envelope(tmp_path / "forged", made / "keyturn.pub")


def test_a_release_is_verified_as_the_page_says(made: Path, tmp_path: Path) -> None:
    """Run the commands of the page that need nothing but openssl and coreutils."""
    page = (ROOT / "docs" / "releases.md").read_text().partition("\n## Verify")[2].partition("\n## ")[0]
    (block,) = [one for one in re.findall(r"```console\n(.*?)```", page, re.DOTALL) if "openssl dgst" in one]
    script = re.sub(r"^\$ ", "", block.replace("0.1.0", __version__), flags=re.MULTILINE)

    fetched = shutil.copytree(made, tmp_path / "fetched")
    done = subprocess.run(
        ["bash", "-euc", script], cwd=fetched, check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stdout
    assert f"keyturn-{__version__}.tgz: OK" in done.stdout


def test_the_statement_of_origin_names_what_was_made(made: Path) -> None:
    said = json.loads((made / "provenance.json").read_bytes())
    parameters = said["predicate"]["buildDefinition"]["externalParameters"]

    lines = [line.split("  ") for line in (made / "SHA256SUMS").read_text().splitlines()]
    assert [(one["digest"]["sha256"], one["name"]) for one in said["subject"]] == [
        (digest, name) for digest, name in lines if name != "provenance.json"
    ]
    assert (parameters["version"], parameters["without"]) == (__version__, ["image"])


def test_made_again_every_file_is_the_same(made: Path, tmp_path: Path) -> None:
    again = whole.make(replace(_ORDER, key=made.parents[1] / "keyturn.key"), tmp_path)

    assert files(again) == files(made)


def test_krew_finds_the_archive_of_the_release(made: Path) -> None:
    (platform,) = yaml.safe_load((made / "keyturn.yaml").read_text())["spec"]["platforms"]
    archive = f"keyturn_v{__version__}_darwin_arm64.tar.gz"

    assert (platform["uri"], platform["files"]) == (
        f"{_URL}/{archive}",
        [{"from": f"keyturn-{__version__}/*", "to": "."}],
    )
    assert f"{platform['sha256']}  {archive}\n" in (made / "SHA256SUMS").read_text()


def test_the_bundle_names_the_image_of_the_release(made: Path) -> None:
    with tarfile.open(made / f"keyturn-bundle-{__version__}.tar.gz") as tar:
        file = tar.extractfile("bundle/manifests/keyturn.clusterserviceversion.yaml")
        csv = yaml.safe_load(file.read() if file else b"")

    assert csv["metadata"]["annotations"]["containerImage"] == _ORDER.image


@pytest.fixture
def bill(made: Path) -> Any:
    return json.loads((made / f"keyturn_v{__version__}_darwin_arm64.tar.gz.cdx.json").read_bytes())


def test_the_list_of_parts_is_valid(bill: Any) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None


def test_the_list_of_parts_is_what_the_lock_pins(bill: Any) -> None:
    pins = portable.locked(portable.PLATFORMS[0])

    assert {f"{one['name']}=={one['version']}" for one in bill["components"]} == {
        text.split()[0] for text in pins.values()
    }
    assert bill["metadata"]["component"]["version"] == __version__


def test_what_can_be_left_out_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = whole.make(_CHEAP, tmp_path)

    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {
        "NOTES.md",
        "SHA256SUMS",
        "keyturn",
        "provenance.json",
    }
    assert [line for line in capsys.readouterr().out.splitlines() if "left out" in line] == [
        f"release: left out, as asked: {whole.LEFT_OUT[name]}" for name in ("cli", "image")
    ]


def with_image(archive: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> whole.Order:
    """Put something in place of what builds the image; return an order of the image and of what takes no time."""
    monkeypatch.setattr(image, "archive", archive)
    return replace(_ORDER, without=frozenset({"cli"}))


def test_the_image_and_its_list_of_parts_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "keyturn-0.1.0-linux-amd64.tar"
    for path in (archive, archive.with_name(f"{archive.name}.cdx.json")):
        path.write_text(path.name)

    made = whole.make(with_image(lambda: archive, monkeypatch), tmp_path / "dist")

    assert archive.name.encode() == files(made)[archive.name]
    assert {archive.name, f"{archive.name}.cdx.json"} <= set((made / "SHA256SUMS").read_text().split())


def test_without_an_image_there_is_no_release_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Path:
        raise ReleaseError("the image is built as root")

    with pytest.raises(
        ReleaseError, match=r"the image is built as root\n.* without the image, say WITHOUT=image"
    ):
        whole.make(with_image(refuse, monkeypatch), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [".release.lock"]


def test_a_bundle_without_the_name_of_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError, match=r"name the image .* IMAGE=registry\.example\.com/.* say WITHOUT=bundle"
    ):
        whole.make(replace(_CHEAP, image=None), tmp_path)

    made = whole.make(replace(_CHEAP, image=None, without=_CHEAP.without | {"bundle"}), tmp_path)
    assert not list(made.glob("keyturn-bundle-*"))


def test_a_checkout_that_differs_from_the_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "read", lambda: replace(_COMMIT, changes=("README.md",)))
    monkeypatch.setattr(notes, "notes", lambda *_, **__: "")

    with pytest.raises(ReleaseError, match=r"differs from the commit 17cd3115a2b4.*\n  README\.md"):
        whole.make(replace(_CHEAP, snapshot=False), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_changelog_without_a_date_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(f"## [{__version__}] \N{EN DASH} unreleased\n\n- A change.\n")
    monkeypatch.setattr(notes, "_CHANGELOG", changelog)

    with pytest.raises(ReleaseError, match="or make a snapshot"):
        whole.make(replace(_CHEAP, snapshot=False), tmp_path)


def test_what_fails_leaves_the_release_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole.make(_CHEAP, tmp_path)
    before = files(folder)
    monkeypatch.setattr(olm, "installation", list)

    with pytest.raises(ValueError, match="unpack"):
        whole.make(_CHEAP, tmp_path)

    assert files(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, ".release.lock"}


def test_what_a_killed_run_left_is_removed(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.mktemp("scratch")  # of the killed process, which removes nothing
    order = [f"--version={__version__}", "--unsigned", "--snapshot", "--repository=https://example.com/k/k"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "release",
            f"--dist={tmp_path}",
            "all",
            *order,
            "--without=image",
            "--without=bundle",
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        eventually(lambda: any(tmp_path.glob(".release-*/release/keyturn-*.tgz")), timeout=60)
        with pytest.raises(ReleaseError, match="another process makes a release"):
            whole.make(_CHEAP, tmp_path)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    assert list(tmp_path.glob(".release-*"))

    folder = whole.make(_CHEAP, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {folder.name, ".release.lock"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ("--version=9.9.9", "--unsigned"), "the release is to be 9.9.9, but these say", id="version"
        ),
        pytest.param((f"--version={__version__}",), "one of the arguments --key --unsigned", id="no key"),
        pytest.param((f"--version={__version__}", "--key=/none"), "the key /none cannot be read", id="key"),
        pytest.param(("--version=", "--unsigned"), "'' is no version", id="no version"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    done = release(tmp_path, "all", "--repository=https://example.com/k/k", *arguments)

    assert (done.returncode > 0, sentence in done.stderr) == (True, True), done.stderr
    assert list(tmp_path.iterdir()) == []

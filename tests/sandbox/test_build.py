"""The programs are built once, by whatever Go there is, or the trouble is told."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from sandbox import SandboxError, build, cache, golang

ROOT = Path(sandbox.__file__).parents[1]
FAKE_GO = """#!/bin/sh
case "$1" in
env) echo "${FAKE_GO_RELEASE:-go9.9}" ;;
list)
    case "$2" in
    -m) echo "$FAKE_KWOK" ;;
    *) echo "go: downloading example.org/module v1.0.0" >&2; echo fmt; echo example.org/module ;;
    esac ;;
build)
    echo "$*" >>"$FAKE_LOG"
    if [ -n "$FAKE_TROUBLE" ]; then
        printf '%s\n' '# example.org/module' "$FAKE_TROUBLE" >&2
        exit 1
    fi
    while [ "$1" != -o ]; do shift; done
    sleep 0.1
    folder=$2
    shift 2
    for package; do
        name=${package##*/}
        case "$name" in v[0-9]) package=${package%/*}; name=${package##*/} ;; esac
        echo program >"$folder$name"
    done ;;
esac
"""


@pytest.fixture(autouse=True)
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a Go on PATH that builds at once, and an empty cache beside it; returns its log."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    for stage in build.KWOK_STAGES:
        file = tmp_path / "kwok" / "kustomize" / "stage" / stage
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("kind: Stage\n")
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    monkeypatch.setenv("KEYTURN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_KWOK", str(tmp_path / "kwok"))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def _built(log: Path) -> list[list[str]]:
    """Return the packages of each command that built programs."""
    return [line.rpartition("/ ")[2].split() for line in log.read_text().splitlines()]


def test_everything_is_built_once(fake_go: Path) -> None:
    first = build.ensure()
    assert build.ensure() == first
    assert _built(fake_go) == [[part.package for part in build.PARTS]]
    assert all(first.path(part.name).is_file() for part in build.PARTS)


def test_a_full_cache_needs_no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.ensure()
    monkeypatch.setenv("PATH", "/nowhere")
    assert build.ensure() == first


def test_two_at_once_build_once(fake_go: Path) -> None:
    command = [sys.executable, "-m", "sandbox", "build"]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in "ab"
    ]
    folders = {process.communicate(timeout=60)[0] for process in both}
    assert len(folders) == 1
    assert len(_built(fake_go)) == 1


def test_a_failed_build_reports_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_TROUBLE", "no space left on device")
    with pytest.raises(SandboxError) as failed:
        build.ensure()
    told, *rest = str(failed.value).splitlines()
    assert told == f"go build in {golang.MODULES / 'kubernetes'}: failed with code 1:"
    assert rest == ["  | # example.org/module", "  | no space left on device"]
    left = [file.name for file in (tmp_path / "cache" / "sandbox").iterdir() if file.is_dir()]
    assert left == []


def test_an_older_release_shares_etcd_and_kwok(fake_go: Path) -> None:
    release = build.older()[0]
    newest, older = build.ensure(), build.ensure(release.name)
    assert _built(fake_go)[1:] == [[f"k8s.io/kubernetes/cmd/{part.name}" for part in release.parts]]
    shared = [part.name for part in build.PARTS if older.path(part.name).samefile(newest.path(part.name))]
    assert shared == ["etcd", "kwok"]
    assert {stage.name for stage in older.stages} == {stage.name for stage in newest.stages}


@pytest.mark.parametrize("release", [*build.older(), build.NEWEST], ids=lambda release: release.name)
def test_the_module_of_a_release_is_of_that_release(release: build.Release) -> None:
    text = (golang.MODULES / release.module / "go.mod").read_text()
    staging = {f"v0.{release.version.removeprefix('v1.')}"}
    assert release.version.startswith(f"v{release.name}.")
    assert set(re.findall(r"^\tk8s.io/\S+ => k8s.io/\S+ (\S+)$", text, re.MULTILINE)) == staging
    assert all(f"gitVersion={release.version} " in part.ldflags for part in release.parts)


def test_a_release_without_a_module_is_refused_with_those_that_have_one(fake_go: Path) -> None:
    with pytest.raises(SandboxError, match=r"no module of Kubernetes '1\.29': choose one of 1\.34, .*1\.37"):
        build.ensure("1.29")
    assert not fake_go.exists()


def test_a_go_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO_RELEASE", "go1.26.7")
    installed = cache.root() / f"go-{golang.pinned_release()}" / "go" / "bin" / "go"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert golang.find_go((1, 26, 8)) == installed

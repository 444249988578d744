"""Builds the programs of a node, from pinned Go modules, into a cache folder of their own.

containerd, the CNI plugins and runc are Go modules, as the control plane is: their versions stay the same on every
machine and do not disappear. runc links the C library libseccomp, without which no pod with a seccomp profile starts,
and kube-proxy calls `nft`: these two are Debian's.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sandbox import cache, golang
from sandbox.build import KUBERNETES, Programs, kubernetes_part
from sandbox.errors import SandboxError, output_of
from sandbox.golang import Part, compile_parts

_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"

PARTS = (
    kubernetes_part("kubelet", "node"),
    kubernetes_part("kube-proxy", "node"),
    Part("containerd", "containerd", f"{_CONTAINERD}/containerd"),
    Part("containerd-shim-runc-v2", "containerd", f"{_CONTAINERD}/containerd-shim-runc-v2"),
    Part("ctr", "containerd", f"{_CONTAINERD}/ctr"),
    Part("ptp", "cni", f"{_CNI}/main/ptp"),
    Part("loopback", "cni", f"{_CNI}/main/loopback"),
    Part("host-local", "cni", f"{_CNI}/ipam/host-local"),
)
RUNC = Part("runc", "runc", "github.com/opencontainers/runc")
PACKAGES = ("libseccomp-dev", "nftables")

_NFT = """#!/bin/sh
# Debian's nft with the libraries that came with it.
here=$(dirname "$0")/..
exec "$here/{loader}" --library-path "{libraries}" "$here/{nft}" "$@"
"""
_PKG_CONFIG = """#!/bin/sh
# Answers for libseccomp as pkg-config does, which need not be there; the library becomes part of the program.
case "$*" in
*--cflags*) echo "-I{include}" ;;
*--libs*) echo "-L{libraries} -l:libseccomp.a" ;;
esac
"""


def ensure() -> Programs:
    """Return the programs, building them first if this machine never did."""
    return Programs(cache.filled(_key(), "the programs of a real node", _fill))


def _key() -> str:
    return f"node-{KUBERNETES}-{golang.key((*PARTS, RUNC), PACKAGES, _NFT, _PKG_CONFIG)}"


def _fill(scratch: Path) -> None:
    if shutil.which("cc") is None:
        raise SandboxError(
            "runc, of a real node, needs a C compiler named cc: install gcc, such as by apt-get"
        )
    unpack(PACKAGES, scratch / "debian")
    compile_parts(PARTS, scratch)
    _compile_runc(scratch)
    _write_nft(scratch)
    for unneeded in ("usr/share", "usr/include"):
        shutil.rmtree(scratch / "debian" / unneeded, ignore_errors=True)


def _compile_runc(scratch: Path) -> None:
    script, files = scratch / "pkg-config", scratch / "debian"
    (library,) = files.rglob("libseccomp.a")
    script.write_text(_PKG_CONFIG.format(include=files / "usr" / "include", libraries=library.parent))
    script.chmod(0o755)
    settings = {"CGO_ENABLED": "1", "PKG_CONFIG": str(script)}
    compile_parts([RUNC], scratch, flags=["-tags", "seccomp"], settings=settings)
    script.unlink()


def _write_nft(scratch: Path) -> None:
    files = scratch / "debian"
    loader = min(files.rglob("ld-linux-*.so.*")).relative_to(scratch)
    folders = sorted({file.parent.relative_to(scratch) for file in files.rglob("*.so.*")})
    (nft,) = (file.relative_to(scratch) for file in files.rglob("sbin/nft"))
    libraries = ":".join(f"$here/{folder}" for folder in folders)
    wrapper = scratch / "bin" / "nft"
    wrapper.write_text(_NFT.format(loader=loader, libraries=libraries, nft=nft))
    wrapper.chmod(0o755)


_TIMEOUT = 600.0


def unpack(packages: Sequence[str], folder: Path) -> None:
    """Put the files of `packages`, and of all that they depend on, below `folder`."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise SandboxError(
                f"a real node is built with packages of Debian or Ubuntu, and this machine has no {program}:"
                " build it on one of these, or leave out --node real"
            )
    scratch = folder.with_name(f"{folder.name}.packages")
    try:
        _download(packages, scratch)
        for archive in sorted((scratch / "archives").glob("*.deb")):
            output_of(["dpkg-deb", "--extract", archive, folder], _TIMEOUT)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(packages: Sequence[str], scratch: Path) -> None:
    for name in ("archives/partial", "lists/partial"):
        (scratch / name).mkdir(parents=True)
    options = {
        "Dir::State::status": "/dev/null",  # as if nothing were installed: all dependencies come along
        "Dir::Cache::archives": scratch / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # the scratch folder lets no other user in
        "Debug::NoLocking": "true",  # nothing of the machine's is written
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    download = [*apt, "install", "--download-only", "--yes", *packages]
    done = subprocess.run(download, check=False, capture_output=True, timeout=_TIMEOUT)
    if done.returncode != 0:  # the machine's lists are absent or older than what the mirrors still have
        lists = f"-oDir::State::lists={scratch / 'lists'}"
        output_of([*apt, lists, "update"], _TIMEOUT)
        output_of([*download, lists], _TIMEOUT)

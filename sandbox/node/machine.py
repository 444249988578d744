"""Checks whether a real node can run on this machine, and manages its cgroups."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.errors import SandboxError

from .keeper import remove_cgroups

_CGROUPS = Path("/sys/fs/cgroup")
_NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio")
_COPIED = ("cpuset.cpus", "cpuset.mems")
_ROOM = 2 * 1024**3
_CAP_SYS_ADMIN = 21
_ALL_USERS = ["0", "0", str(2**32 - 1)]
_MOUNT_TIMEOUT = 20.0


def check(folder: Path) -> None:
    """Raise a SandboxError that says what is missing for a real node that keeps its data in `folder`."""
    if platform.system() != "Linux":
        raise SandboxError("a real node needs Linux; leave out --node real")
    if os.geteuid() != 0:
        raise SandboxError(
            "a real node needs root, for namespaces and cgroups; run as root or leave out --node real"
        )
    if not _is_root_of_machine():
        raise SandboxError(
            "a real node needs the machine's own root with CAP_SYS_ADMIN, and this one is root of a user namespace or"
            " of a container without privileges; run as the machine's root or leave out --node real"
        )
    if has_unified_cgroups():
        print(
            "sandbox: cgroups have version 2 only here, where the real node has not been tried",
            file=sys.stderr,
        )
    check_room(folder)


def check_room(folder: Path, needed: int = _ROOM) -> None:
    """Raise a SandboxError if the disk of `folder` has too little room for images and containers."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SandboxError(
            f"a real node needs {needed >> 20} MiB for images and containers, and {folder} has {free >> 20} MiB left:"
            " make room, or set XDG_RUNTIME_DIR or TMPDIR to a folder on another disk"
        )


def _is_root_of_machine() -> bool:
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("CapEff:")]
    mapped = Path("/proc/self/uid_map").read_text().split()
    return mapped == _ALL_USERS and bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def has_unified_cgroups(root: Path = _CGROUPS) -> bool:
    """Say whether cgroups below `root` are of version 2 only; in version 1, each controller has a hierarchy.

    Raises:
        SandboxError: A kubelet can use neither.
    """
    if (root / "cgroup.controllers").is_file():
        return True
    missing = [name for name in _NEEDED if not (root / name).is_dir()]
    if missing:
        raise SandboxError(
            f"a real node needs cgroups, and {root} has neither version 2 nor these controllers of version 1:"
            f" {', '.join(missing)}"
        )
    return False


def cgroup_name(folder: Path) -> str:
    """Return the name below which all cgroups of the plane in `folder` are, and no other plane's."""
    return f"{_prefix(folder.parent)}{folder.name}"


def planes_with_cgroups(root: Path) -> set[str]:
    """Return the names of planes below `root` that have cgroups, whether their folders are there or not."""
    if os.geteuid() != 0 or not _CGROUPS.is_dir():
        return set()
    prefix = _prefix(root)
    found = {
        folder.name for hierarchy in (_CGROUPS, *_hierarchies(_CGROUPS)) for folder in hierarchy.iterdir()
    }
    return {name.removeprefix(prefix) for name in found if name.startswith(prefix)}


def _prefix(root: Path) -> str:
    return f"keyturn-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}-"


def make_cgroups(name: str, root: Path = _CGROUPS) -> None:
    """Make an empty cgroup `name` in each hierarchy."""
    if has_unified_cgroups(root):
        controllers = (root / "cgroup.controllers").read_text().split()
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))
        (root / name).mkdir(exist_ok=True)
        return
    for hierarchy in _hierarchies(root):
        (hierarchy / name).mkdir(exist_ok=True)
        for file in _COPIED:  # a new cpuset is empty, and no process can enter it
            if (hierarchy / file).is_file():
                (hierarchy / name / file).write_text((hierarchy / file).read_text())


def cgroups_of(name: str, root: Path = _CGROUPS) -> tuple[Path, ...]:
    """Return where cgroups of that name are or could be."""
    if (root / "cgroup.controllers").is_file():
        return (root / name,)
    return tuple(hierarchy / name for hierarchy in _hierarchies(root))


def remove_cgroups_of(folder: Path) -> None:
    """Remove what a killed node of the plane in `folder` left of cgroups; absent is success."""
    if os.geteuid() == 0 and _CGROUPS.is_dir():
        remove_cgroups(path for path in cgroups_of(cgroup_name(folder)) if path.is_dir())


def _hierarchies(root: Path) -> list[Path]:
    # Some names are links to a hierarchy of several controllers, such as cpu to cpu,cpuacct.
    return sorted({folder.resolve() for folder in root.iterdir() if folder.is_dir()})


def snapshotter(folder: Path) -> str:
    """Return how containers get their root below `folder`: by layers of overlayfs or, where it fails, by copies."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="probe-") as probe:
        for name in ("lower", "upper", "work", "merged"):
            (Path(probe) / name).mkdir()
        # Tried, not looked up: the kernel may load it at the first mount, and not every disk can be its upper layer.
        options = ("-olowerdir=lower,upperdir=upper,workdir=work", "merged")
        command = ["unshare", "--mount", "mount", "-t", "overlay", "overlay", *options]
        done = subprocess.run(command, cwd=probe, check=False, capture_output=True, timeout=_MOUNT_TIMEOUT)
    return "overlayfs" if done.returncode == 0 else "native"

"""What the tests of the sandbox look at the machine with."""

import os
from pathlib import Path

from sandbox.node import machine


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of running processes that name `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if str(folder).encode() in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def leftovers_of(folder: Path) -> list[str]:
    """Return what is left of a plane and its real node: processes, containers, cgroups, mounts, links, files."""
    cgroup = machine.cgroup_name(folder)
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return [
        *processes_of(folder),
        *_in_cgroup(cgroup),
        *(str(path) for path in machine.cgroups_of(cgroup) if path.exists()),
        *(line for line in mounts if str(folder) in line),
        *(f"link {name}" for name in _links() - _LINKS_BEFORE),
        *(str(path) for path in [folder] if path.exists()),
    ]


def _links() -> set[str]:
    return {link.name for link in Path("/sys/class/net").iterdir()}


_LINKS_BEFORE = _links()


def _in_cgroup(name: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"/{name}/" in (entry / "cgroup").read_text():
                found.append(f"process {entry.name} in {name}")
        except OSError:
            continue  # it ended while we looked
    return found


def containers_of(folder: Path) -> list[str]:
    """Return the processes of containers of a plane's real node."""
    return _in_cgroup(machine.cgroup_name(folder))

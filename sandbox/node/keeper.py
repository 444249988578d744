"""Keeper of a real node: one process holds its namespaces, so that all of it ends with that process.

It runs as a script with the standard library only, on the machine's side. Its child, this script again, is first in a
new process namespace: when that one is killed, the kernel kills every program and container of the node
and drops their mounts and network interfaces. What the kernel keeps are the cgroup folders; they are removed here.

The child sets up the namespaces, with system calls, so that no `ip` or `mount` is needed; starts the supervisor of
the node's programs; reaps orphans; and ends with the supervisor.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ISOLATED = ("-I", "-S")
_CLONE_NEWPID = 0x2000_0000
_PR_SET_PDEATHSIG = 1
_BUSY_TIMEOUT = 8.0
_LIBC = ctypes.CDLL(None, use_errno=True)


def remove_cgroups(folders: Iterable[Path]) -> None:
    """Remove cgroup folders with all below them; absent is success, and processes in them have a moment to end."""
    deadline = time.monotonic() + _BUSY_TIMEOUT
    for folder in folders:
        while not _removed(folder) and time.monotonic() < deadline:
            time.sleep(0.02)


def _removed(folder: Path) -> bool:
    # The files of a cgroup cannot be removed and need not be: its folders can, deepest first.
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            Path(path).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _die_with_parent(how: signal.Signals) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, how)


def _begin(facts: str) -> int:
    """Start this script again as the first process of a process namespace; return its number on this side.

    Its standard input ends when this process does: that tells it even if this process is killed before the kernel
    knows that it is to die with it.
    """
    if _LIBC.unshare(_CLONE_NEWPID) != 0:
        sys.exit(f"no process namespace can be made: {os.strerror(ctypes.get_errno())}")
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        _die_with_parent(signal.SIGKILL)
        os.dup2(ours, 0)
        os.execv(sys.executable, [sys.executable, *_ISOLATED, __file__, "first", facts])  # noqa: S606  # no shell
    os.close(ours)
    os.set_inheritable(theirs, False)  # noqa: FBT003  # and open as long as this process lives
    return pid


def keep(settings: str) -> int:
    """Hold the node until it ends or until this process is asked to end it."""
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit())
    _die_with_parent(signal.SIGTERM)  # not SIGKILL, which the supervisor set: there are cgroups to remove
    facts = json.loads(settings)
    child: int | None = None
    try:
        child = _begin(settings)
        Path(facts["pid_file"]).write_text(str(child))
        _, status = os.waitpid(child, 0)
        child = None
        return os.waitstatus_to_exitcode(status) & 0xFF
    finally:
        for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(ending, signal.SIG_IGN)
        if child is not None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        remove_cgroups(map(Path, facts["cgroups"]))


# The first process inside

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
_SIOCADDRT, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x890B, 0x8914, 0x8916, 0x891C
_IFF_UP, _RTF_UP = 1, 1

KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet wants to read below /proc/sys. It sees it; the machine's own settings stay as they are."""

_HIDDEN = ("/run", "/var/lib", "/var/log")
"""Where programs of a node write at paths that no setting moves: each is an empty file system inside."""


_SocketAddress = ctypes.c_ubyte * 16  # of characters it would end with the first zero


class _Route(ctypes.Structure):
    """`struct rtentry` of <linux/route.h>."""

    _fields_ = (
        ("pad1", ctypes.c_ulong),
        ("destination", _SocketAddress),
        ("gateway", _SocketAddress),
        ("mask", _SocketAddress),
        ("flags", ctypes.c_ushort),
        ("pad2", ctypes.c_short),
        ("pad3", ctypes.c_ulong),
        ("pad4", ctypes.c_void_p),
        ("metric", ctypes.c_short),
        ("device", ctypes.c_char_p),
        ("mtu", ctypes.c_ulong),
        ("window", ctypes.c_ulong),
        ("round_trip", ctypes.c_ushort),
    )


def _checked(result: int, deed: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{deed}: {os.strerror(number)}")


def _mount(source: str | Path | None, target: str | Path, kind: str | None = None, flags: int = 0) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _checked(_LIBC.mount(*encoded, ctypes.c_ulong(flags), None), f"mount on {target}")


def _hide(target: Path, kept: list[Path]) -> None:
    """Lay an empty file system over `target`, with the `kept` folders of it where they were."""
    held = {path: os.open(path, os.O_PATH) for path in kept if path.is_relative_to(target)}
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID)
    for path, descriptor in held.items():
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", path, flags=_MS_BIND | _MS_REC)
        os.close(descriptor)


def _show_kernel_settings() -> None:
    shown, settings = Path("/run/kernel-settings"), Path("/proc/sys")
    _mount(settings, settings, flags=_MS_BIND)
    _mount(settings / "net", settings / "net", flags=_MS_BIND)  # it is the node's own, and stays writable
    _mount(None, settings, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY)
    for name, content in KERNEL_SETTINGS.items():
        if (settings / name).exists():
            file = shown / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{content}\n")
            _mount(file, settings / name, flags=_MS_BIND)


def _forget_name_servers() -> None:
    """Answer look-ups of names at once with a refusal: no name server can be reached from here."""
    known = Path("/etc/resolv.conf")
    if known.exists():  # where it is a link into a hidden folder, this is the default
        nothing = Path("/run/resolv.conf")
        nothing.write_text("nameserver 127.0.0.1\n")
        _mount(nothing, known.resolve(), flags=_MS_BIND)


def _separate(kept: list[Path]) -> None:
    namespaces = _CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWNET
    _checked(_LIBC.unshare(namespaces), "new namespaces")
    _mount(None, "/", flags=_MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc")
    for hidden in _HIDDEN:
        if Path(hidden).is_dir():
            _hide(Path(hidden).resolve(), kept)
    _show_kernel_settings()
    _forget_name_servers()
    socket.sethostname("node")


def _address(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _connect(address: str, service_network: str, service_mask: str) -> None:
    """Bring up the loopback interface with the node's own address, and lead the range of Services somewhere.

    kube-proxy changes the destination of what is sent there; without a route nothing would be sent.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        for request, text in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(control, request, struct.pack("16s16s", b"lo:node", _address(text)))
        route = _Route(
            destination=_SocketAddress(*_address(service_network)),
            mask=_SocketAddress(*_address(service_mask)),
            flags=_RTF_UP,
            device=b"lo",
        )
        _checked(_LIBC.ioctl(control.fileno(), ctypes.c_ulong(_SIOCADDRT), ctypes.byref(route)), "a route")


def _supervise(facts: dict[str, Any]) -> subprocess.Popen[bytes]:
    with socket.socket(socket.AF_UNIX) as listener, Path(os.devnull).open("rb") as lock:
        listener.bind(facts["socket"])
        listener.listen()
        inherited = (listener.fileno(), lock.fileno())
        command = [sys.executable, "-I", "-S", facts["supervisor"], facts["folder"], *map(str, inherited)]
        return subprocess.Popen(command, pass_fds=inherited)  # its input ends with the keeper


def first(facts: dict[str, Any]) -> int:
    """Set up the node, start its supervisor, and reap whatever is left without a parent until that one ends."""
    _separate([Path(path).resolve() for path in facts["kept"]])
    _connect(facts["address"], facts["service_network"], facts["service_mask"])
    supervisor = _supervise(facts)
    while True:
        pid, status = os.wait()
        if pid == supervisor.pid:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(keep(sys.argv[2]) if sys.argv[1] == "keep" else first(json.loads(sys.argv[2])))

"""First process of a node's namespaces: sets them up and reaps orphans.

It runs as a script with the standard library only. Mounts, addresses and routes are made by system calls, so that no
`ip` or `mount` is needed. Then it starts the supervisor of the node's programs and ends with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
_SIOCADDRT, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x890B, 0x8914, 0x8916, 0x891C
_IFF_UP, _RTF_UP = 1, 1

_LIBC = ctypes.CDLL(None, use_errno=True)

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


def main(settings: str) -> int:
    """Set up the node, start its supervisor, and reap whatever is left without a parent until that one ends."""
    facts = json.loads(settings)
    _separate([Path(path).resolve() for path in facts["kept"]])
    _connect(facts["address"], facts["service_network"], facts["service_mask"])
    supervisor = _supervise(facts)
    while True:
        pid, status = os.wait()
        if pid == supervisor.pid:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

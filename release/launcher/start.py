"""Starts the command line with the packages for the Python that runs this, which the script beside it found."""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_LIB = Path(__file__).resolve().parent / "lib"


def suits() -> bool:
    """Say whether this archive has the packages of this Python."""
    return _own().is_dir()


def start(name: str) -> None:
    """Run as the program of that name: `keyturn`, or as one of the two that kubectl looks for."""
    sys.path[:0] = [str(_own()), str(_LIB / "any")]
    from keyturn.cli import commands  # noqa: PLC0415  # it is found only now

    del commands.main.commands["run"]  # the operator is an image; the clients of its stores are not in here
    if name == "kubectl-keyturn":
        commands.kubectl_plugin()
    elif name == "kubectl_complete-keyturn":
        commands.kubectl_completion()
    else:
        commands.main(prog_name="keyturn")


def _own() -> Path:
    """Name the folder of packages that work only with this release of Python on this platform."""
    extension = (
        EXTENSION_SUFFIXES[0].removeprefix(".").removesuffix(".so")
    )  # such as cpython-311-x86_64-linux-gnu
    return _LIB / (f"{extension}-{os.uname().machine}" if sys.platform == "darwin" else extension)


if __name__ == "__main__":
    name = sys.argv.pop(1)
    sys.exit(0 if suits() else 1) if name == "--suits" else start(name)

"""That values in the operator's memory are not written to a core file, and what it can do all the same."""

import os
import subprocess
import sys

_START = """
import ctypes, os, resource
from keyturn.controllers import manager as runner
from keyturn.cli.commands import main

async def look(_options):
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    print(*limits, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

runner.run = look
main(["run", "--all-namespaces"])
"""
_OPEN_OWN = """
import os, tempfile
from keyturn.runtime.memory_protection import keep_memory_unseen
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65532)
    os.setuid(65532)
keep_memory_unseen()
with os.fdopen(os.memfd_create("own"), "w+b") as own:
    own.write(b"own")
    own.flush()
    print(open(f"/proc/self/fd/{own.fileno()}").read())
"""


def printed(script: str) -> str:
    done = subprocess.run(  # our own lines
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_operator_runs_without_core_dumps() -> None:
    assert printed(_START) == "0 0 0"


def test_its_own_files_are_still_opened_by_their_number() -> None:
    assert printed(_OPEN_OWN) == "own"


def test_no_core_is_dumped_of_it() -> None:
    script = "from keyturn.runtime.memory_protection import keep_memory_unseen as keep; keep(); import os; os.abort()"
    child = subprocess.Popen([sys.executable, "-c", script])  # our own line
    _pid, status = os.waitpid(child.pid, 0)
    child.returncode = status
    assert (os.WIFSIGNALED(status), os.WCOREDUMP(status)) == (True, False)

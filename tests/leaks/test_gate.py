"""A value in one operator's log fails the whole run, in whichever process the operator's test ran."""

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks.leak_gate import LEAKED
from tests.leaks.scan import forms_of_all, traces

_ROOT = Path(__file__).parents[2]
_VALUE = b"no-secret-but-long-enough-for-one"
_CONFTEST = """
from pathlib import Path
from tests.leaks.leak_gate import LeakGate, ValueRecorder

def pytest_configure(config):
    recorder = ValueRecorder()
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        recorder.values[{value!r}] = "Secret shop/db"
        recorder.logs[Path("operator.log")] = "test_it.py::test_one"
    config.pluginmanager.register(LeakGate(recorder))
"""
_XDIST = ("-p", "xdist.plugin")
"""No other plugin: each takes a part of a second to import, in each process."""
_TESTS = "def test_one(): pass\ndef test_other(): pass\n"


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_logged_value_fails_a_run_whose_tests_all_pass(processes: str, tmp_path: Path) -> None:
    code, said = run(b"before " + base64.b64encode(_VALUE) + b" after", processes, tmp_path)

    assert code == LEAKED
    assert (
        "FAILED: an operator has logged the value in base64 in operator.log of test_it.py::test_one,"
        " from Secret shop/db: before <value>" in said
    )
    assert _VALUE.decode() not in said


def test_a_run_without_a_leak_passes(tmp_path: Path) -> None:
    """In one process; `make test` is such a run in several."""
    assert run(b"nothing but words", "0", tmp_path)[0] == 0


def test_what_is_reported_of_a_leak_holds_nothing_of_any_value() -> None:
    first, second = secrets.token_hex(16).encode(), secrets.token_hex(16).encode()
    document = b'{"a":"' + first + b'","b":"' + second + b'"}'
    log = b"1 " + first + b"\n2 " + first + b" then " + document + b" end\n"

    forms = forms_of_all((first, second, document))
    told = {form.value: line for form, line in traces(forms, log)}

    assert told == {first: "1 <value>", second: "2 <value> then <value>", document: "2 <value> then <value>"}


def run(log: bytes, processes: str, folder: Path) -> tuple[int, str]:
    (folder / "operator.log").write_bytes(log)
    (folder / "conftest.py").write_text(_CONFTEST.format(value=_VALUE))
    (folder / "test_it.py").write_text(_TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_XDIST, "-n", processes, "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout

"""The tests of a module notice most changes of it."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

_SAMPLE = 20
_FLOOR = 13
"""Mutants of the sample that the tests of their own folder notice; tests/simulation notices more but takes long."""


@pytest.mark.timeout(600)
def test_a_sample_of_mutants_is_noticed() -> None:
    command = [sys.executable, "-m", "tests.mutants", f"--count={_SAMPLE}", "--own-folder", "--at-once=1"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=590)
    figures = json.loads(done.stdout[done.stdout.index("\n{\n") :])

    assert (figures["mutants"], figures["killed"] >= _FLOOR) == (_SAMPLE, True), figures["survivors"]

import sys
from pathlib import Path

import pytest

from keyturn.runtime import imports

BASE = """
from abc import ABC, abstractmethod
class Plugin(ABC):
    kind = ""
    @abstractmethod
    def do(self): ...
"""
SOME = """
from trial.base import Plugin
from trial.other import Zebra
class Half(Plugin):
    kind = "half"
class Apple(Plugin):
    kind = "apple"
    def do(self): ...
"""
OTHER = """
from trial.base import Plugin
class Zebra(Plugin):
    kind = "zebra"
    def do(self): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "trial"
    folder.mkdir()
    broken = "raise AssertionError('imported')"
    files = {"__init__": "", "base": BASE, "some": SOME, "other": OTHER, "_shared": broken}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "trial"]:
        monkeypatch.delitem(sys.modules, name)
    return "trial"


def test_classes_are_found_by_kind_where_they_are_defined(package: str) -> None:
    base = __import__("trial.base").base.Plugin
    found = imports.discover(package, base)
    assert list(found) == ["apple", "zebra"]
    assert [plugin.__module__ for plugin in found.values()] == ["trial.some", "trial.other"]


def test_shared_modules_are_not_imported(package: str) -> None:
    assert imports.module_names(package) == ("base", "other", "some")

"""`python -m tests.mutants`: change the operator's code in small ways, and report which changes no test notices.

A mutant is one change of one function: a comparison that is turned, a guard that never holds, or a statement that is
dropped. No file is written. The choice depends on the code of each candidate alone: a mutant stays chosen until its
own lines change, wherever they move.
"""

import argparse
import ast
import contextlib
import gc
import hashlib
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
OPERATOR: Final = ROOT / "operator"
PACKAGES: Final = ("controllers", "core", "databases", "stores")
RESULT: Final = ROOT / "benchmarks" / "results" / "mutants" / "200.json"
_TIMEOUT: Final = 300
_TURNED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    path: str
    """Of the module, from the folder of the operator's code."""
    index: int
    """Of the candidate in the module."""
    kind: str
    function: str
    line: int
    digest: str

    @property
    def tests(self) -> tuple[tuple[str, ...], ...]:
        """Paths of tests in the order in which they run: of the module, of its folder, of the package."""
        folder, stem = Path(self.path).parent.relative_to("keyturn"), Path(self.path).stem
        unit = ROOT / "tests" / "unit"
        here = next(path for path in (unit / folder, *(unit / folder).parents) if path.is_dir())
        own = [
            str(path)
            for path in sorted(here.glob("test_*.py"))
            if f"{path.stem}_".startswith(f"test_{stem.lstrip('_')}_")
        ]
        package = folder.parts[0]
        decides = package in {"core", "controllers"}
        rest = (str(unit / package), *(["tests/unit/golden", "tests/simulation"] if decides else []))
        return tuple(filter(None, (tuple(own), (str(here),), rest)))


class _Candidates(ast.NodeTransformer):
    """Count the places that can be mutated; change the one with the index `chosen`."""

    def __init__(self, path: str, chosen: int | None = None) -> None:
        self.found: list[Mutant] = []
        self._path, self._chosen, self._names = path, chosen, list[str]()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:  # of ast
        self._names.append(node.name)
        node.body = [self.visit(statement) for statement in node.body]
        self._names.pop()
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  # a name of ast

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1 and self._is_chosen("comparison", node):
            node.ops = [_TURNED[type(node.ops[0])]()]
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        leaves = isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue)
        if leaves and self._is_chosen("guard", node.test):
            node.test = ast.copy_location(ast.Constant(value=False), node.test)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        drops = isinstance(value, ast.Call) and "log" not in ast.unparse(value.func)
        if drops and self._is_chosen("statement", node):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def _is_chosen(self, kind: str, node: ast.expr | ast.stmt) -> bool:
        if not self._names:
            return False  # code of the module itself runs once, when it is imported
        index, function = len(self.found), ".".join(self._names)
        digest = hashlib.sha256(f"{kind} {function} {ast.unparse(node)}".encode()).hexdigest()
        self.found.append(Mutant(self._path, index, kind, function, node.lineno, digest))
        return index == self._chosen


def candidates(path: str, source: str) -> list[Mutant]:
    finder = _Candidates(path)
    finder.visit(ast.parse(source))
    return finder.found


def mutated(path: str, source: str, index: int) -> ast.Module:
    """Return the tree of a module in which the candidate of that index is changed."""
    tree: ast.Module = _Candidates(path, index).visit(ast.parse(source))
    return ast.fix_missing_locations(tree)


def chosen(count: int) -> list[Mutant]:
    """Return so many mutants of all packages, the same ones as long as their code is the same."""
    every = [
        mutant
        for package in PACKAGES
        for path in sorted((OPERATOR / "keyturn" / package).rglob("*.py"))
        for mutant in candidates(str(path.relative_to(OPERATOR)), path.read_text())
    ]
    return sorted(every, key=lambda mutant: mutant.digest)[:count]


class Judge:
    """A plugin of pytest that runs, for each mutant in a fork, its tests among the collected ones up to a red one.

    What is collected has imported the operator as it is. A fork replaces the code of the functions that a mutant
    changes, wherever they are referred to; nothing is collected twice.
    """

    def __init__(self, mutants: Sequence[Mutant], layers: slice, at_once: int) -> None:
        """Take which layers of a mutant's tests run, and how many mutants at once."""
        self.killed: dict[Mutant, bool] = {}
        self._left, self._layers, self._at_once = list(mutants), layers, at_once
        self._forks: dict[int, tuple[Mutant, float]] = {}

    @property
    def paths(self) -> set[str]:
        return {path for mutant in self._left for layer in mutant.tests[self._layers] for path in layer}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Failed("not all tests can be collected")
        try:
            while self._left or self._forks:
                while self._left and len(self._forks) < self._at_once:
                    mutant = self._left.pop(0)
                    process = _forked(mutant, self._tests_of(mutant, session), session)
                    self._forks[process] = (mutant, time.monotonic())
                self._collect_ended()
        finally:
            for process in self._forks:
                _end(process)
        return True

    def _tests_of(self, mutant: Mutant, session: pytest.Session) -> list[pytest.Item]:
        """Return the tests of a mutant, those that are likeliest to be red first."""
        layers = (tuple(map(str, map(ROOT.joinpath, layer))) for layer in mutant.tests[self._layers])
        found = (item for layer in layers for item in session.items if _is_in(item, layer))
        return list(dict.fromkeys(found))

    def _collect_ended(self) -> None:
        """Note which forks have ended; a red test is code 1, and a fork that hangs is killed and counts as red."""
        time.sleep(0.02)
        for process, (mutant, began) in list(self._forks.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if not ended and time.monotonic() - began > _TIMEOUT:
                _end(process)
                ended, status = os.waitpid(process, 0)
            if ended:
                _end(process)
                del self._forks[process]
                self.killed[mutant] = status != 0
                print(
                    f"{'killed  ' if status else 'SURVIVED'} {mutant.path}:{mutant.line} {mutant.kind}",
                    flush=True,
                )


def _is_in(item: pytest.Item, paths: Sequence[str]) -> bool:
    return any(str(item.path) == path or str(item.path).startswith(f"{path}/") for path in paths)


def _end(process: int) -> None:
    """Kill a fork with the servers that its tests started, also where the fork has ended before them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _forked(mutant: Mutant, tests: Sequence[pytest.Item], session: pytest.Session) -> int:
    """Run tests with a mutant in a fork, and return its process."""
    if process := os.fork():
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(process, process)
        return process
    os.setpgid(0, 0)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    code = 1
    try:
        apply(mutant)
        for test, following in pairwise([*tests, None]):
            session.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if session.testsfailed:
                break
        else:
            code = 0
    finally:
        os._exit(code)


def apply(mutant: Mutant) -> None:
    """Replace the code of the functions of this process that a mutant changes."""
    path = OPERATOR / mutant.path
    importlib.import_module(
        ".".join(path.relative_to(OPERATOR).with_suffix("").parts).removesuffix(".__init__")
    )
    code = compile(mutated(mutant.path, path.read_text(), mutant.index), path, "exec")
    codes = {(one.co_qualname, one.co_firstlineno): one for one in _codes_in(code)}
    gc.unfreeze()
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename == str(path):
            one.__code__ = codes[one.__code__.co_qualname, one.__code__.co_firstlineno]


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def judged(mutants: Sequence[Mutant], layers: slice, at_once: int) -> dict[Mutant, bool]:
    """Return for each mutant whether a test fails, or hangs, with it.

    Raises:
        RuntimeError: pytest could not run.
    """
    judge = Judge(mutants, layers, at_once)
    options = ("-q", "-s", "-n0", "-p", "no:cacheprovider", f"--rootdir={ROOT}")
    code = pytest.main([*options, *sorted(judge.paths)], [judge])
    if len(judge.killed) < len(mutants):
        raise RuntimeError(f"pytest ended with {code}")
    return judge.killed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--own-folder", action="store_true", help="run no other tests of the package")
    parser.add_argument("--at-once", type=int, default=os.cpu_count())
    given = parser.parse_args()
    mutants, began = chosen(given.count), time.monotonic()
    killed = judged(mutants, slice(-1 if given.own_folder else None), given.at_once)
    tally = {
        package: f"{count[True]} of {count.total()}"
        for package in PACKAGES
        for count in [Counter(k for m, k in killed.items() if m.path.startswith(f"keyturn/{package}/"))]
    }
    survivors = [f"{m.path} {m.function}: {m.kind}" for m, k in killed.items() if not k]
    figures = {
        "mutants": len(mutants),
        "killed": sum(killed.values()),
        "by_package": tally,
        "survivors": survivors,
        "minutes": round((time.monotonic() - began) / 60),
    }
    print(json.dumps(figures, indent=2))
    if len(mutants) == 200:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.mutants`: change the operator's code in small ways, and report which changes no test notices.

A mutant is one change of one module: a comparison that is turned, a guard that never holds, or a statement that is
dropped. It is compiled when the module is imported, so no file is written. The choice depends on the code of each
candidate alone: a mutant stays chosen until its own lines change, wherever they move.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.machinery
import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

ROOT: Final = Path(__file__).parents[1]
OPERATOR: Final = ROOT / "operator"
PACKAGES: Final = ("controllers", "core", "databases", "stores")
RESULT: Final = ROOT / "benchmarks" / "results" / "mutants.json"
_VARIABLE: Final = "KEYTURN_MUTANT"
_TIMEOUT: Final = 300
_RED: Final = (1, 2)
"""Exit codes of pytest: a test failed, or none could be collected."""
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
        rest = (str(unit / package), *(["tests/simulation"] if package in {"core", "controllers"} else []))
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


def is_killed(mutant: Mutant, tests: Sequence[Sequence[str]]) -> bool:
    """Report whether a test fails, or hangs, with this mutant.

    Raises:
        RuntimeError: pytest could not run.
    """
    environment = {**os.environ, _VARIABLE: f"{mutant.path}:{mutant.index}"}
    for paths in tests:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-qx",
            "-n0",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.mutants",
            *paths,
        ]
        try:
            ended = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, timeout=_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return True
        if ended.returncode in _RED:
            return True
        if ended.returncode not in {0, 5}:
            raise RuntimeError(f"pytest ended with {ended.returncode} for {mutant}")
    return False


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        relative, _, index = os.environ[_VARIABLE].rpartition(":")
        return compile(mutated(relative, Path(path).read_text(), int(index)), path, "exec")


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin == str(OPERATOR / os.environ[_VARIABLE].rpartition(":")[0]):
            spec.loader = _Loader(fullname, spec.origin)
            return spec
        return None


if _VARIABLE in os.environ:  # as a plugin of pytest, before it imports the operator
    sys.meta_path.insert(0, _Finder())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    mutants, began = chosen(given.count), time.monotonic()

    def judge(mutant: Mutant) -> bool:
        killed = is_killed(mutant, mutant.tests)
        print(f"{'killed  ' if killed else 'SURVIVED'} {mutant.path}:{mutant.line} {mutant.kind}", flush=True)
        return killed

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        killed = dict(zip(mutants, pool.map(judge, mutants), strict=True))
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
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

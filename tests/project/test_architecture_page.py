"""What the page on the architecture names is there: packages, their order, steps and files."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from keyturn.core.rotation import rollback, steps

_ROOT = Path(__file__).parents[2]
_CODE = _ROOT / "operator" / "keyturn"
_PAGE = (_ROOT / "docs" / "architecture.md").read_text()
_LAYERS = {
    contract["containers"][0]: [layer.split(" | ") for layer in contract["layers"]]
    for contract in tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
}
_LAYER_OF = {name: place for place, layer in enumerate(_LAYERS["keyturn"]) for name in layer}
_ARROW = re.compile(r"^ +(\w+) -(-+)> (\w+)$", re.MULTILINE)


def section(title: str) -> str:
    return _PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def packages() -> set[str]:
    return {path.parent.name for path in _CODE.glob("*/__init__.py")}


@cache
def imports_of(package: str) -> set[str]:
    """Name the other packages of ours that a package imports, also for types only."""
    found: set[str] = set()
    for path in (_CODE / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {name.split(".")[1] for name in names if name.startswith("keyturn.")}
    return found & packages() - {package}


def below(package: str, arrows: set[tuple[str, str]]) -> set[str]:
    direct = {end for start, end in arrows if start == package}
    return direct.union(*(below(one, arrows) for one in direct))


def test_the_page_names_each_package() -> None:
    assert set(re.findall(r"^\*\*`(\w+)`\*\*: ", section("Packages"), re.MULTILINE)) == packages()
    assert {name for start, _, end in _ARROW.findall(_PAGE) for name in (start, end)} == packages()


def test_each_package_is_drawn_in_its_layer() -> None:
    for start, length, end in _ARROW.findall(_PAGE):
        assert _LAYER_OF[end] - _LAYER_OF[start] == len(length), f"{start} to {end}"


def test_the_arrows_are_the_imports() -> None:
    arrows = {(start, end) for start, _, end in _ARROW.findall(_PAGE)}
    imports = {(package, other) for package in packages() for other in imports_of(package)}

    assert arrows <= imports
    assert {one: below(one, arrows) for one in packages()} == {one: below(one, imports) for one in packages()}


@pytest.mark.parametrize("package", sorted(packages()))
def test_the_docstring_of_a_package_names_its_imports(package: str) -> None:
    text = ast.get_docstring(ast.parse((_CODE / package / "__init__.py").read_text())) or ""
    named = re.sub(r"\(.*?\)", "", re.split(r"[;.]", text.partition("\nImports: ")[2])[0])
    names = set(re.findall(r"`(\w+)`", named))
    if named.startswith("every package"):
        names = packages() - names - {package}

    assert names == imports_of(package)


def test_every_path_is_there() -> None:
    paths = re.findall(r"`((?:\.?[\w-]+/)+(?:[\w.-]+\.\w+)?)`", _PAGE)
    table = section("To change X, look at Y")

    assert [path for path in paths if not any((base / path).exists() for base in (_ROOT, _CODE))] == []
    assert all(
        re.search(r"\| .*\| .*`[\w-]+/.*`", row) for row in table.splitlines()[4:] if row.startswith("|")
    )


_ROTATION = section("A rotation, and a crash at each point")
_ROWS = dict(re.findall(r"^\| (before \d+|\d+) \| .* \| .* \| (.*) \|$", _ROTATION, re.MULTILINE))
"""First step of the next leader, by point."""


def test_the_steps_are_those_of_the_code() -> None:
    drawn = re.findall(r"->>[MSTWD]: ([A-Z]\w+) - ", _ROTATION)
    named = [name for row in _ROWS.values() for name in re.findall(r"`([A-Z]\w+)`", row)]

    assert set(drawn) | set(named) <= {*vars(steps), *steps.Action, *vars(rollback)}
    assert drawn == [
        *("Stage", "Apply", "Prove", "Publish"),
        *("RollOut", "Overlap", "Expire", "Settle", "Revoke"),
    ]

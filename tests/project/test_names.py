"""Names in the operator's code: actions are verbs, and a class has a name of its own."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

_CODE = Path(__file__).parents[2] / "operator" / "keyturn"
_PARTICIPLE = re.compile(
    r"_*([a-z]*ed|brought|done|found|given|held|kept|lent|made|said|seen|shown|taken|told|withdrawn)(_|$)"
)
_VERBS = frozenset({"embed", "feed", "need", "seed", "shed"})
"""Verbs that end as participles do."""


@cache
def defined(kind: str) -> tuple[tuple[str, str], ...]:
    """Return each name that a line defines, with its file; a syntax tree of every file takes seconds."""
    line = re.compile(rf"^ *{kind} (\w+)", re.MULTILINE)
    files = sorted(_CODE.rglob("*.py"))
    return tuple(
        (str(path.relative_to(_CODE)), name) for path in files for name in line.findall(path.read_text())
    )


def is_participle(name: str) -> bool:
    found = _PARTICIPLE.match(name)
    return found is not None and found[1] not in _VERBS


def test_an_asynchronous_function_is_a_verb() -> None:
    actions = defined("async def")
    assert len(actions) > 100
    assert [action for action in actions if is_participle(action[1])] == []


def test_large_packages_share_no_name_of_a_class() -> None:
    packages = ("controllers/", "core/", "endpoints/", "kube/", "stores/")
    classes = Counter(
        name
        for path, name in defined("class")
        # Errors of stores and of the API server have the same meaning, and private classes one module.
        if path.startswith(packages) and not path.endswith("/errors.py") and not name.startswith("_")
    )
    assert [name for name, count in classes.items() if count > 1] == []

"""The pages on security are true: its tests exist, and its table of rights is that of the manifests."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_PAGES = {name: (_ROOT / name).read_text() for name in ("docs/security.md", "docs/threat-model.md")}
_PAGE = _PAGES["docs/security.md"]
_MANIFESTS = _ROOT / "manifests"
_TEST = re.compile(r"`(tests/[\w/.-]+)(?:::(\w+))?`")

Right = tuple[str, str, str, str]
"""Role, resource with its group, the names that it is limited to, verb."""


def shipped() -> Iterator[Right]:
    folders = (_MANIFESTS / "base", _MANIFESTS / "components", _MANIFESTS / "monitoring" / "audit")
    for path in (path for folder in folders for path in folder.rglob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            for rule in body.get("rules") or () if is_role(body) else ():
                yield from rights(body["metadata"]["name"], rule)


def is_role(body: Any) -> bool:
    """Leave out patches, which are lists, and the API server's audit policy, which has rules as well."""
    return isinstance(body, dict) and str(body["kind"]).endswith("Role")


def rights(role: str, rule: dict[str, Any]) -> Iterator[Right]:
    names = " ".join(rule.get("resourceNames", ()))
    for url in rule.get("nonResourceURLs", ()):
        yield from ((role, url, "", verb) for verb in rule["verbs"])
    for group in rule.get("apiGroups", ()):
        for resource in rule["resources"]:
            full = f"{resource}.{group}" if group else resource
            yield from ((role, full, names, verb) for verb in rule["verbs"])


def explained() -> Iterator[Right]:
    _, _, section = _PAGE.partition("## RBAC reference")
    for line in re.findall(r"^\| (`keyturn.*) \|$", section, re.MULTILINE):
        role, resources, verbs, reason = line.split(" | ")
        assert reason
        named, _, limit = resources.partition(" named ")
        for resource in re.findall(r"`([^`]+)`", named):
            for verb in verbs.split(", "):
                yield role.split("`")[1], resource, limit.strip("`"), verb


def test_each_right_is_explained_and_nothing_else() -> None:
    assert sorted(explained()) == sorted(shipped())


def test_each_policy_on_the_account_is_explained() -> None:
    _, _, rest = _PAGE.partition("## Stolen operator token")
    rows = re.findall(r"^\| `(keyturn-own-[a-z]+)` \|", rest, re.MULTILINE)
    bodies = (
        body
        for path in sorted((_MANIFESTS / "base" / "own-account").glob("*.yaml"))
        for body in yaml.safe_load_all(path.read_text())
    )

    assert sorted(rows) == sorted(
        body["metadata"]["name"] for body in bodies if body["kind"] == "ValidatingAdmissionPolicy"
    )


@pytest.mark.parametrize("page", _PAGES)
def test_each_test_that_proves_something_exists(page: str) -> None:
    named = _TEST.findall(_PAGES[page])
    missing = [f"{path}::{test}" for path, test in named if not exists(path, test)]

    assert (bool(named), missing) == (True, [])


def exists(path: str, test: str) -> bool:
    file = _ROOT / path
    return file.exists() and (
        not test or f"\ndef {test}(" in file.read_text().replace("\nasync def", "\ndef")
    )


def rows_of_threats() -> Iterator[list[str]]:
    """Split the rows of each table of the threat model that has a column of findings."""
    for section in _PAGES["docs/threat-model.md"].split("\n## "):
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        if lines and "| finding |" in lines[0]:
            yield from ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:])


def test_each_threat_of_the_model_says_what_stops_it_what_is_left_and_its_test() -> None:
    rows = list(rows_of_threats())
    assert len(rows) > 20
    unsaid = [row[0] for row in rows if len(row) != 5 or not all(row[2:4]) or not _TEST.search(row[4])]
    assert unsaid == []

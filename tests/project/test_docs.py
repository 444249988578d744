"""What users read is true: manifests are taken by the API server, and lists are complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from keyturn.api.status import WorkloadReason
from keyturn.controllers.emergency import reconcile as emergencies
from keyturn.core.emergency import timeline
from keyturn.core.observation.emergency import EMERGENCY
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import reasons
from keyturn.core.status.status import ROLLED_BACK
from keyturn.endpoints.exposition import expose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.harness import Kubectl

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")])
_OPERATIONS = (_ROOT / "docs" / "operations.md").read_text()
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r'--8<-- "([^":]+)(?::(\d+):(\d+))?"\n')


def manifests() -> list[tuple[str, str]]:
    return [(page.name, block) for page in _PAGES for block in _YAML.findall(page.read_text())]


def written_out(block: str) -> str:
    """Put the lines of a file where a page names it."""
    found = _SNIPPET.fullmatch(block)
    if found is None:
        return block
    lines = (_ROOT / found[1]).read_text().splitlines(keepends=True)
    first, last = int(found[2] or 1), int(found[3] or len(lines))
    return "".join(lines[first - 1 : last])


def test_there_are_manifests_to_check() -> None:
    assert {"README.md", "index.md", "rotation.md"} <= {page for page, _ in manifests()}


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=f"{page}-{place}") for place, (page, block) in enumerate(manifests())]
)
def test_a_manifest_in_the_documentation_is_taken(block: str, kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    # Nothing is stored, so that all can use one namespace that exists.
    manifest.write_text(written_out(block).replace("namespace: shop", "namespace: default"))

    done = kubectl.run("apply", "--dry-run=server", "-n", "default", "-f", str(manifest))

    assert (done.returncode, done.stderr) == (0, "")


def test_the_table_of_troubles_has_every_reason_with_its_sentence() -> None:
    listed = re.findall(r"^\| `([A-Z]\w+)` \| (.*) \| .* \|$", section("Troubleshooting"), re.MULTILINE)

    assert sorted(listed) == sorted((reason.value, reason.sentence) for reason in ErrorReason)


def test_errors_have_reasons_of_the_enum_and_every_reason_has_an_error() -> None:
    files = [path for path in (_ROOT / "operator").rglob("*.py") if path.name != "reasons.py"]
    code = "".join(path.read_text() for path in files)

    assert re.findall(r"\b(?:Stalled|Wait|TookTooLong)\(\s*\"\w+\"", code) == []
    assert set(re.findall(r"\bErrorReason\.([A-Z_]+)\b", code)) == set(ErrorReason.__members__)


def section(title: str) -> str:
    return _OPERATIONS.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_event_is_listed() -> None:
    """Those of trouble are named after its reason, and listed with it."""
    firsts = re.findall(r"^\| (`[^|]*`) \|", section("Events"), re.MULTILINE)
    posted = {
        reason
        for path in (_ROOT / "operator").rglob("*.py")
        for reason in posted_in(ast.parse(path.read_text()))
    }

    # A reason of both is listed for each.
    listed = [reason for first in firsts for reason in re.findall(r"`(\w+)`", first)]
    assert sorted(listed) == sorted([*posted, *of_emergencies()])


def posted_in(tree: ast.AST) -> Iterator[str]:
    """Name what is posted by a word that is written there."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func).endswith("events.record"):
            words = (
                node.value for each in call.args for node in ast.walk(each) if isinstance(node, ast.Constant)
            )
            yield from (
                word for word in words if isinstance(word, str) and re.fullmatch("([A-Z][a-z]+)+", word)
            )


def of_emergencies() -> set[str]:
    """Name what the entries of a timeline are posted as."""
    stages = {*timeline._STAGES, timeline.DEADLINE_NEAR, timeline.DEADLINE_MISSED}
    secrets = {f"Secret{state}" for state in timeline._SENTENCES}
    return {"EmergencyDeclared"} | stages | secrets - emergencies._QUIET


def test_every_metric_is_listed_once() -> None:
    text = expose(list, "text/plain")[0].decode()
    there = re.findall(r"^# TYPE (keyturn_\w+) ", text, re.MULTILINE)

    assert sorted(there) == sorted(re.findall(r"^\| `(keyturn_\w+)` \|", _OPERATIONS, re.MULTILINE))


def test_every_reason_of_the_history_is_explained_once() -> None:
    page = (_ROOT / "docs" / "rotation.md").read_text()
    made = set(re.findall(r'^_?[A-Z_]+ = "([A-Z]\w+)"$', Path(reasons.__file__).read_text(), re.MULTILINE))

    assert sorted(made | {EMERGENCY, ROLLED_BACK}) == sorted(
        re.findall(r"^\| `([A-Z]\w+)` \| .* \| .* \|$", page, re.MULTILINE)
    )


def test_every_reason_of_a_workload_is_explained_once() -> None:
    page = (_ROOT / "docs" / "rollout.md").read_text()
    table = page.partition("| `status.workloads[].reason` |")[2].partition("\n\n")[0]

    assert sorted(WorkloadReason) == sorted(re.findall(r"^\| `([A-Z]\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_a_link_to_a_heading_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())

    assert [
        (target, anchor)
        for target, anchor in links
        if anchor not in anchors(page.parent / target if target else page)
    ] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them of their text."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_the_documentation_has_applied_overwrites_no_part_of_the_installation() -> None:
    shipped = {
        named(body)
        for path in (_ROOT / "manifests" / "base").rglob("*.yaml")
        for body in bodies(path.read_text())
    }
    shown = {named(body) for _, block in manifests() for body in bodies(written_out(block))}

    assert {"ClusterRole/keyturn", "ClusterRoleBinding/keyturn-classes"} <= shipped
    assert shown & shipped == set()


def bodies(text: str) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(text) if body and "metadata" in body]


def named(body: dict[str, Any]) -> str:
    return f"{body['kind']}/{body['metadata']['name']}"

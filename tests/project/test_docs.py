"""What users read is true: manifests are taken by the API server, and lists are complete."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.endpoints.exposition import expose
from sandbox.harness import Kubectl

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")])
_OPERATIONS = (_ROOT / "docs" / "operations.md").read_text()
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r'--8<-- "([^":]+)(?::(\d+):(\d+))?"\n')


def manifests() -> list[tuple[str, str]]:
    return [(page.name, block) for page in _PAGES for block in _YAML.findall(page.read_text())]


def written_out(block: str) -> str:
    """Put the lines of files where a page names them."""
    return _SNIPPET.sub(lines_of, block)


def lines_of(found: re.Match[str]) -> str:
    lines = (_ROOT / found[1]).read_text().splitlines(keepends=True)
    first, last = int(found[2] or 1), int(found[3] or len(lines))
    return "".join(lines[first - 1 : last])


def test_a_password_in_a_url_is_encoded_for_each_part_of_it() -> None:
    """`url_encode` writes a blank as +, which is another password before the host."""
    texts = [block for _, block in manifests()]
    texts += [path.read_text() for path in (_ROOT / "manifests").rglob("*.yaml")]

    assert [text for text in texts if re.search(r"url_encode\s*}}@", text)] == []


def test_there_are_manifests_to_check() -> None:
    assert {"README.md", "databases.md", "rotation.md"} <= {page for page, _ in manifests()}


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=f"{page}-{place}") for place, (page, block) in enumerate(manifests())]
)
def test_a_manifest_in_the_documentation_is_taken(block: str, kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    # Nothing is stored, so that all can use one namespace that exists.
    manifest.write_text(written_out(block).replace("namespace: shop", "namespace: default"))

    done = kubectl.run("apply", "--dry-run=server", "-n", "default", "-f", str(manifest))

    assert (done.returncode, done.stderr) == (0, "")


def test_every_metric_is_listed_once() -> None:
    text = expose(list, "text/plain")[0].decode()
    there = re.findall(r"^# TYPE (keyturn_\w+) ", text, re.MULTILINE)

    rows = re.findall(r"^\| (`keyturn_\w+`.*?) \| ", _OPERATIONS, re.MULTILINE)

    assert sorted(there) == sorted(name for row in rows for name in re.findall(r"`(\w+)`", row))


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


def test_the_quota_of_a_namespace_has_each_kind_that_its_tenant_creates() -> None:
    limits = (_ROOT / "docs" / "limits.md").read_text()
    quota = next(block for block in _YAML.findall(limits) if "kind: ResourceQuota" in block)
    crds = [yaml.safe_load(path.read_text()) for path in (_ROOT / "crds").glob("keyturn.dev_*.yaml")]
    kinds = {crd["metadata"]["name"] for crd in crds if crd["spec"]["scope"] == "Namespaced"}

    assert set(yaml.safe_load(quota)["spec"]["hard"]) == {
        "count/secrets",
        *(f"count/{kind}" for kind in kinds),
    }

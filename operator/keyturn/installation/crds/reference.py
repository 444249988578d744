"""API reference: every field of every kind on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.api import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .definition import Kind
    from .schema import Node

_INTRODUCTION = f"""\
# API reference

Group `{GROUP}`, version `{VERSION}`. In a cluster, `kubectl explain <kind>.spec` prints the same sentences.
A field in **bold** must be written. Durations are written as `90d`, `2160h` or `1d12h` (units `s m h d w`).
"""


@dataclass(frozen=True, slots=True)
class _Field:
    """A row of the table: a field with its schema."""

    path: str
    schema: Node
    is_required: bool

    def render(self) -> str:
        name = f"**`{self.path}`**" if self.is_required else f"`{self.path}`"
        return f"| {name} | {_type_of(self.schema)} | {_cell(self.schema['description'])} |"


def page(kinds: Iterable[Kind]) -> str:
    """Render the reference as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(kind) for kind in kinds)])


def _section(kind: Kind) -> str:
    schema = kind.schema()
    rows = [field.render() for field in _fields(schema, "")]
    lines = [f"## {kind.name}", "", f"{schema['description']} {_how_to_get(kind)}", ""]
    lines += ["| field | type | meaning |", "|---|---|---|", *rows, ""]
    lines += ["The API server refuses what breaks one of these rules, with the sentence:", ""]
    return "\n".join([*lines, *_rules(schema, ""), ""])


def _how_to_get(kind: Kind) -> str:
    return f"{kind.scope}; `kubectl get {kind.plural}`, in short `kubectl get {kind.short}`."


def _fields(schema: Node, path: str) -> Iterator[_Field]:
    for name, child in schema.get("properties", {}).items():
        if "description" not in child:  # Kubernetes' own metadata
            continue
        here = f"{path}.{name}".removeprefix(".")
        yield _Field(here, child, name in schema.get("required", ()))
        yield from _fields(*_inside(child, here))


def _inside(schema: Node, path: str) -> tuple[Node, str]:
    """Return the schema of a list's items."""
    return (schema["items"], f"{path}[]") if "items" in schema else (schema, path)


def _rules(schema: Node, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        field = f"{path}{rule.get('fieldPath', '')}".removeprefix(".")
        yield f"- `{field}`: {rule['message']}"
    for name, child in schema.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}".removeprefix("."))
    for child in (schema.get(key) for key in ("items", "additionalProperties")):
        yield from _rules(child, f"{path}[]") if child else ()


def _type_of(schema: Node) -> str:
    match schema:
        case {"enum": choices}:
            return " \\| ".join(f"`{choice}`" for choice in choices)
        case {"type": "array", "items": items}:
            return f"list of {_type_of(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"map to {_type_of(values)}"
        case {"format": "date-time"}:
            return "time"
        case _:
            return str(schema["type"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

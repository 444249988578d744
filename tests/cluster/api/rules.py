"""The table of what the API server refuses and accepts, `rules.yaml`, as whole objects."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.api.objects import Body, body


class _Loader(yaml.CSafeLoader):
    """Knows long texts and long lists."""


def _long(loader: yaml.CSafeLoader, node: Any) -> str:
    return "x" * int(loader.construct_scalar(node))


def _members(loader: yaml.CSafeLoader, node: Any) -> list[Any]:
    count, member = loader.construct_sequence(node, deep=True)
    return [_numbered(member, number) for number in range(count)]


def _keys(loader: yaml.CSafeLoader, node: Any) -> Body:
    count, key, value = loader.construct_sequence(node, deep=True)
    return {key % number: value for number in range(count)}


def _numbered(member: Any, number: int) -> Any:
    if isinstance(member, dict):
        return {key: _numbered(value, number) for key, value in member.items()}
    return member % number if isinstance(member, str) and "%" in member else member


_Loader.add_constructor("!x", _long)
_Loader.add_constructor("!many", _members)
_Loader.add_constructor("!keys", _keys)
_TABLE: Body = yaml.load(Path(__file__).with_name("rules.yaml").read_text(), Loader=_Loader)  # noqa: S506 - a safe one
del _TABLE["parts"]
_GENERATORS: Body = _TABLE.pop("a generator")


def refused() -> Iterator[tuple[str, str, str, list[Body]]]:
    """Give a name, the field, a part of the sentence and what is refused, for each rule."""
    for name, section in _TABLE.items():
        within = ".".join(("spec", *_steps(section)))
        for rule, rows in section.get("refused", {}).items():
            field, sentence = _parted(rule)
            bodies = [_whole(section, row) for row in _listed(rows)]
            yield f"{name}: {rule}", _field(within, field), sentence, bodies
    yield from _refused_generators("in an item", "spec.data[0].generate")
    yield from _refused_generators("in a class", "spec.generate")


def accepted() -> Iterator[tuple[str, list[Body]]]:
    for name, section in _TABLE.items():
        yield name, [_whole(section, row) for row in section.get("accepted", [])]


def _refused_generators(where: str, field: str) -> Iterator[tuple[str, str, str, list[Body]]]:
    is_class = field == "spec.generate"
    for rule, rows in _GENERATORS["refused"].items():
        below, sentence = _parted(rule)
        specs = [{"generate": row} for row in _listed(rows)]
        bodies = [
            body("SecretClass", "example", spec)
            if is_class
            else body("ManagedSecret", "example", {"data": [{"name": "token", **spec}]})
            for spec in specs
        ]
        yield f"{where}: {rule}", f"{field}.{below}", sentence, bodies


def _parted(rule: str) -> tuple[str, str]:
    """Return the field and the sentence; an unknown field is refused before any field is looked at."""
    field, _, sentence = rule.partition(": ")
    return (field, sentence) if sentence else ("", rule)


def _listed(rows: Body | list[Body]) -> list[Body]:
    return rows if isinstance(rows, list) else [rows]


def _steps(section: Body) -> list[str]:
    return section["at"].split(".") if "at" in section else []


def _field(within: str, field: str) -> str:
    if not field or field.split(".", maxsplit=1)[0] in {"spec", "metadata"}:
        return field
    return f"{within}.{field}".replace(".0.", "[0].")


def _whole(section: Body, row: Body) -> Body:
    whole = body(section["kind"], row.get("(name)", "example"), copy.deepcopy(section["spec"]))
    inner = whole["spec"]
    for step in _steps(section):
        inner = inner[int(step) if isinstance(inner, list) else step]
    for key, value in row.items():
        if value is None:
            del inner[key]
        elif key != "(name)":
            inner[key] = value
    return whole

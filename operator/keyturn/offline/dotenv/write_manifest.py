"""Writes the ManagedSecret with the declarations of .env.example; it has recipes, no values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from keyturn import templates
from keyturn.api import API_VERSION
from keyturn.core.errors import Stalled
from keyturn.runtime import yaml_dumper
from keyturn.runtime.invisible_characters import is_visible, make_visible

from .errors import Refused
from .generate import outputs_of
from .sources import Composed, Copied, IssuedElsewhere, Made, Rendered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .declaration import Declaration, DeclaredVariable
    from .document import Document

__all__ = ["default_name", "manifest"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


def default_name(folder: Path) -> str:
    """Return the name of the folder as the name of the Secret."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:48].strip("-")
    return f"{words or 'app'}-secrets"


def manifest(declaration: Declaration, example: Document, name: str, namespace: str | None) -> str:
    """Render the manifest; what it cannot declare is in comments above it.

    Raises:
        Refused: The name, a recipe or a template is invalid.
    """
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be a Secret's name: write up to 63 lower-case letters, digits and dashes"
        )
    rendered = dict(_templates(declaration, example))
    read = frozenset().union(*(_inputs(text, example) for text in rendered.values()))
    data = list(_items(declaration, example, read))
    if not data:
        raise Refused(
            f"{example.name} declares no secret that is made; give one a hint, such as # keyturn: password"
        )
    names = {item["name"]: ("value",) for item in data if "keys" not in item}
    _check(rendered, names)
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    target = {"target": {"template": {"data": rendered}}} if rendered else {}
    body = {"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata}
    body["spec"] = {**target, "data": data}
    text = yaml_dumper.dump(body, width=1000, allow_unicode=True)
    if not is_visible(text):
        text = yaml_dumper.dump(body, width=1000)
    return "".join(f"# {make_visible(line)}\n" for line in _notes(declaration, read, rendered)) + text


def _items(declaration: Declaration, example: Document, read: frozenset[str]) -> Iterator[dict[str, Any]]:
    sources = {variable.name: variable.source for variable in declaration.variables}
    for part in declaration.parts:
        for item in part.items:
            if item.made is not None:
                yield _generated(item, item.made, part.name)
            elif item.name in read and isinstance(sources[item.name], Copied):
                yield {"name": item.name, "literal": example.raw.get(item.name, "")}


def _generated(item: DeclaredVariable, made: Made, place: str) -> dict[str, Any]:
    by_output = outputs_of(item, place)
    generate = {"name": item.name, "generate": {made.kind: dict(made.settings)}}
    return generate if by_output == {"value": item.name} else {**generate, "keys": by_output}


# Templates


def _templates(declaration: Declaration, example: Document) -> Iterator[tuple[str, str]]:
    """Yield the templates of rendered and composed variables, if all values that they read are declared."""
    sources = {variable.name: variable.source for variable in declaration.variables}
    for variable in declaration.variables:
        if isinstance(variable.source, Rendered):
            text = variable.source.template
        elif isinstance(variable.source, Composed):
            text = _liquid(variable.name, example, sources)
        else:
            continue
        if not any(isinstance(sources.get(name), IssuedElsewhere) for name in _inputs(text, example)):
            yield variable.name, text


def _liquid(name: str, example: Document, sources: Mapping[str, object]) -> str:
    """Translate ${…} of a variable to Liquid; indirect references are inlined."""
    from dotenv.variables import Variable, parse_variables  # noqa: PLC0415  # on first use, as its parser

    parts = []
    for atom in parse_variables(example.raw[name]):
        if not isinstance(atom, Variable):
            parts.append(_literal(atom.resolve({})))
        elif isinstance(sources.get(atom.name), Composed):
            parts.append(_liquid(atom.name, example, sources))
        elif atom.name in sources:
            parts.append(f"{{{{ {atom.name} }}}}")
        elif atom.default is not None:
            parts.append(_literal(atom.default))
        else:
            raise Refused(
                f"{example.name}: {name} reads {atom.name}, which is not in it; add that, or write its text"
            )
    return "".join(parts)


def _literal(text: str) -> str:
    return f"{{% raw %}}{text}{{% endraw %}}" if "{{" in text or "{%" in text else text


def _inputs(text: str, example: Document) -> frozenset[str]:
    try:
        return templates.inputs(text, example.raw) - {templates.NOW}
    except Stalled as stalled:
        sentence = f"{example.name}: {stalled.message}"
    raise Refused(sentence)


def _check(rendered: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> None:
    try:
        templates.check(rendered, names)
    except Stalled as stalled:
        sentence = stalled.message
    else:
        return
    raise Refused(sentence)


# Omissions


def _notes(declaration: Declaration, read: frozenset[str], rendered: Mapping[str, str]) -> Iterator[str]:
    given = [one.name for one in declaration.variables if isinstance(one.source, IssuedElsewhere)]
    plain = [
        one.name for one in declaration.variables if isinstance(one.source, Copied) and one.name not in read
    ]
    lost = [
        one.name
        for one in declaration.variables
        if isinstance(one.source, Rendered | Composed) and one.name not in rendered
    ]
    if given:
        yield f"Issued by other services, so not here: {', '.join(given)}; add them with `from` and a SecretStore."
    if lost:
        yield f"Made of those, so not here: {', '.join(lost)}; add a template once they are."
    if plain:
        yield f"No secrets, so not here: {', '.join(plain)}; a ConfigMap holds them."

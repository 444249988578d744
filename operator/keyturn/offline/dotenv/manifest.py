"""Writes the ManagedSecret with the declarations of .env.example; it has recipes, no values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION
from keyturn.runtime import dotenv_reader, yaml_dumper
from keyturn.runtime.invisible_characters import is_visible, make_visible

from .files import Refused
from .generate import item_of
from .inference import Composed, Copied, IssuedElsewhere, Made, Output

if TYPE_CHECKING:
    from pathlib import Path

    from .declaration import Declaration, Variable

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


def default_name(folder: Path) -> str:
    """Return the name of the folder as the name of the Secret."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:48].strip("-")
    return f"{words or 'app'}-secrets"


def manifest(declaration: Declaration, name: str, namespace: str | None) -> str:
    """Render the manifest; what it cannot declare is in comments above it."""
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be a Secret's name: write up to 63 lower-case letters, digits and dashes"
        )
    recipes = [_recipe(one, one.source) for one in declaration.variables if isinstance(one.source, Made)]
    if not recipes:
        raise Refused(
            ".env.example declares no secret that is made; give one a hint, such as # keyturn: password"
        )
    names = {kind: _of_kind(declaration, kind) for kind in (IssuedElsewhere, Copied, Composed)}
    templates, read, lost = {}, set[str](), []
    for composed in names[Composed]:
        text, inputs = _liquid(composed, declaration)
        if inputs.isdisjoint(names[IssuedElsewhere]):
            templates[composed] = text
            read |= inputs
        else:
            lost.append(composed)
    literals = [
        {"name": one, "literal": declaration.example.raw[one]} for one in names[Copied] if one in read
    ]
    notes = {
        "Issued by other services, so not here: {}; add them with `from` and a SecretStore.": names[
            IssuedElsewhere
        ],
        "Made of those, so not here: {}; add a template once they are.": lost,
        "No secrets, so not here: {}; a ConfigMap holds them.": [n for n in names[Copied] if n not in read],
    }
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    target = {"target": {"template": {"data": templates}}} if templates else {}
    spec = {**target, "data": [*literals, *recipes]}
    body = {"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata, "spec": spec}
    text = yaml_dumper.dump(body, width=1000, allow_unicode=True)
    if not is_visible(text):
        text = yaml_dumper.dump(body, width=1000)
    lines = (note.format(", ".join(listed)) for note, listed in notes.items() if listed)
    return "".join(f"# {make_visible(line)}\n" for line in lines) + text


def _of_kind(declaration: Declaration, kind: type) -> list[str]:
    return [one.name for one in declaration.variables if isinstance(one.source, kind)]


def _recipe(variable: Variable, made: Made) -> dict[str, Any]:
    keys = item_of(variable, made).keys
    recipe = {"name": variable.name, "generate": {made.kind: dict(made.settings)}}
    return recipe if keys == {"value": variable.name} else {**recipe, "keys": dict(keys)}


def _liquid(name: str, declaration: Declaration) -> tuple[str, frozenset[str]]:
    """Translate ${…} of a variable to Liquid, and return what it reads; a composed one that it reads is inlined."""
    raw, parts, end, read = declaration.example.raw[name], [], 0, set[str]()
    for found in dotenv_reader.REFERENCE.finditer(raw):
        parts.append(_literal(raw[end : found.start()]))
        end, other = found.end(), declaration.variable(found[1])
        if other is None and found[2] is not None:
            parts.append(_literal(found[2]))
        elif other is None or isinstance(other.source, Output) or getattr(other.source, "variables", None):
            raise Refused(
                f".env.example: {name} reads {found[1]}, which is no value of its own there; write its text"
            )
        elif isinstance(other.source, Composed):
            text, inputs = _liquid(other.name, declaration)
            parts.append(text)
            read |= inputs
        else:
            parts.append(f"{{{{ {other.name} }}}}")
            read.add(other.name)
    return "".join([*parts, _literal(raw[end:])]), frozenset(read)


def _literal(text: str) -> str:
    return f"{{% raw %}}{text}{{% endraw %}}" if "{{" in text or "{%" in text else text

"""Declarations of ManagedSecret manifests: the keys of each Secret as variables, by the rules of the cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pydantic

from keyturn import generators
from keyturn.api.base import validation_sentence
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import SecretClass
from keyturn.core.errors import Stalled
from keyturn.core.labels import DEFAULT_CLASS
from keyturn.core.policy import rules as policy
from keyturn.core.spec.desired import VALUE, resolve_spec

from .declaration import Declaration, DeclaredVariable, Part, Variable, hold_to_names
from .document import Document
from .errors import Refused
from .shipped_classes import SHIPPED
from .sources import MAIN, Copied, IssuedElsewhere, Made, Rendered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from keyturn.core.spec import desired as wanted_items
    from keyturn.core.spec.desired import Desired

    from .sources import Source

__all__ = ["declared_by", "variable_of"]

_Kind = TypeVar("_Kind", ManagedSecret, SecretClass)
_STANDS_IN: Final = "nothing"


def declared_by(bodies: Collection[dict[str, Any]]) -> Declaration:
    """Read the ManagedSecrets of manifests, with their SecretClasses, or the shipped ones.

    Raises:
        Refused: One is invalid, or two write the same variable.
    """
    classes = _classes(bodies)
    found = [_read(body, classes) for body in bodies if body.get("kind") == "ManagedSecret"]
    if not found:
        raise Refused("the manifests hold no ManagedSecret; name files that do")
    variables: dict[str, Variable] = {}
    for one in found:
        for variable in one.variables:
            if variable.name in variables:
                raise Refused(
                    f"{variable.name} is written twice, also by {one.name}; give one of the keys another name by keys"
                )
            variables[variable.name] = variable
    hold_to_names("the manifests", variables)
    return Declaration(tuple(variables.values()), tuple(one.part for one in found), _start(found))


def variable_of(key: str) -> str:
    """Return the variable of a key: `jwt-secret` becomes JWT_SECRET; a valid name stays."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        return key
    name = re.sub(r"[^A-Za-z0-9]+", "_", key).strip("_").upper()
    return f"_{name}" if name[:1].isdigit() else name


def _classes(bodies: Iterable[dict[str, Any]]) -> dict[str, SecretClass]:
    shipped = [
        {"metadata": {"name": name}, "spec": {"generate": {made.kind: dict(made.settings)}}}
        for name, made in SHIPPED.items()
    ]
    own = [body for body in bodies if body.get("kind") == "SecretClass"]
    return {one.metadata.name: one for one in (_validated(SecretClass, body) for body in (*shipped, *own))}


def _validated(kind: type[_Kind], body: Mapping[str, Any]) -> _Kind:
    metadata = body.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    try:
        return kind.model_validate({**body, "status": {}})
    except pydantic.ValidationError as error:
        sentence = f"{kind.__name__} {known.get('name')}: {validation_sentence(error)}"
    raise Refused(sentence)


@dataclass(frozen=True, slots=True)
class _Read:
    """A parsed ManagedSecret."""

    name: str
    variables: tuple[Variable, ...]
    part: Part


def _read(body: dict[str, Any], classes: Mapping[str, SecretClass]) -> _Read:
    """Parse a ManagedSecret; values from stores are left to the user."""
    given_spec = body.get("spec")
    spec: dict[str, Any] = given_spec if isinstance(given_spec, dict) else {}
    items = [one for one in spec.get("data") or () if isinstance(one, dict)]
    if not items and not spec.get("dataFrom"):
        raise Refused("a ManagedSecret of the manifests has no data; write spec.data")
    pulled = [str(one.get("name")) for one in items if "from" in one]
    made = [one for one in items if "from" not in one]
    slim = {
        name: part for name, part in spec.items() if name not in {"dataFrom", "pushTo", "refreshInterval"}
    }
    # The schema requires an item; this one is removed again.
    stands_in = [{"name": _STANDS_IN, "literal": ""}] if not made else []
    managed = _validated(ManagedSecret, {**body, "spec": {**slim, "data": made or stands_in}})
    desired = _wanted(managed, classes)
    given = [DeclaredVariable(name, None, {MAIN: variable_of(name)}) for name in pulled]
    own = [_item(one) for one in desired.items if one.name != _STANDS_IN]
    templates = {variable_of(key): text for key, text in desired.templates.items()}
    part = Part(desired.secret, (*own, *given), templates)
    return _Read(desired.secret, tuple(_variables(part)), part)


def _wanted(managed: ManagedSecret, classes: Mapping[str, SecretClass]) -> Desired:
    name = f"ManagedSecret {managed.metadata.name}"
    try:
        secret_class = _class_of(managed, classes)
        desired = resolve_spec(managed, secret_class, lambda recipe: generators.make(recipe).outputs)
        broken = [one.message for one in _too_weak(desired, secret_class)]
    except Stalled as stalled:
        broken = [stalled.message]
    else:
        if not broken:
            return desired
    raise Refused(f"{name}: {'; '.join(broken)}")


def _class_of(managed: ManagedSecret, classes: Mapping[str, SecretClass]) -> SecretClass | None:
    name = managed.spec.class_name
    if name is None:
        marked = (one for one in classes.values() if one.metadata.annotations.get(DEFAULT_CLASS) == "true")
        return next(marked, None)
    if name and name not in classes:
        raise Refused(
            f"there is no SecretClass {name!r} in the manifests, nor among the shipped; add its file with -f"
        )
    return classes.get(name)


def _too_weak(desired: Desired, secret_class: SecretClass | None) -> Iterator[policy.Violation]:
    if secret_class is None or not policy.denies(secret_class):
        return
    strengths = {item.name: generators.make(item.recipe).strength() for item in desired.items if item.recipe}
    found = policy.Evidence({name: strength for name, strength in strengths.items() if strength})
    for rule in ("minLength", "minEntropyBits"):
        yield from policy.RULES[rule](secret_class, found)


def _item(item: wanted_items.Item) -> DeclaredVariable:
    if item.recipe is None:
        return DeclaredVariable(item.name, None, {MAIN: variable_of(item.keys[VALUE])}, item.literal)
    by_output = {output: variable_of(key) for output, key in item.keys.items()}
    return DeclaredVariable(item.name, Made(item.recipe.kind, item.recipe.settings), by_output)


def _variables(part: Part) -> Iterator[Variable]:
    for item in part.items:
        for name in item.variables.values():
            if name in part.templates:
                raise Refused(
                    f"{part.name}: {name} is an item and a template; rename the item, and keep the template"
                )
            yield Variable(name, _source(item), f"{part.name}, {item.name}")
    for name, text in part.templates.items():
        yield Variable(name, Rendered(text), f"{part.name}, a template")


def _source(item: DeclaredVariable) -> Source:
    if item.made is not None:
        return item.made
    return IssuedElsewhere() if item.literal is None else Copied()


def _start(found: Iterable[_Read]) -> Document:
    blocks = (
        "".join([f"# {one.name}\n", *(f"{variable.name}=\n" for variable in one.variables)]) for one in found
    )
    return Document.read("the manifests", "\n".join(blocks).encode())

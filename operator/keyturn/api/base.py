"""Base class of every API model, and builders of CEL rules and error paths."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pydantic
from pydantic.alias_generators import to_camel
from pydantic.plugin import _loader as plugins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.annotated_handlers import GetJsonSchemaHandler
    from pydantic_core import CoreSchema, ErrorDetails

# A plugin of another package would see every value that is parsed; to look for them takes long, too.
plugins._plugins = {}  # noqa: SLF001


class Schema(pydantic.BaseModel):
    """Base model: immutable, camelCase field names in JSON, and no input values in validation errors."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,  # a command parses one or two kinds
        frozen=True,
        # A rejected value may be a literal secret; pydantic would otherwise print it into the error.
        hide_input_in_errors=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe each field by its docstring; pydantic would read the source at each import."""
        found = handler(core_schema)
        properties = handler.resolve_ref_schema(found).get("properties", {})
        texts = {name: text for one in reversed(cls.__mro__) for name, text in _docstrings(one).items()}
        for name, field in cls.model_fields.items():
            if name in texts and (shown := properties.get(field.alias or name)) is not None:
                shown.setdefault("description", texts[name])
        return found


def _docstrings(model: type) -> Mapping[str, str]:
    """Return the string below each field of a class."""
    if not issubclass(model, Schema):
        return {}
    return _docstrings_in(model.__module__).get(model.__name__, {})


@functools.cache
def _docstrings_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the same for each class of a module."""
    source = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: dict(_described(one.body)) for one in ast.walk(source) if isinstance(one, ast.ClassDef)}


def _described(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(written))):
                yield name, inspect.cleandoc(written)


def rules(*given: tuple[str, ...]) -> dict[str, Any]:
    """Build the `x-kubernetes-validations` of a schema from (rule, message[, fieldPath[, messageExpression]]).

    `fieldPath` is relative to the schema, such as `.target.type`; without it the error is reported for the schema
    itself. The API server replaces the message by the result of `messageExpression`, which is CEL.
    Source: Kubernetes, "Validation rules" of CustomResourceDefinition (x-kubernetes-validations).
    """
    names = ("rule", "message", "fieldPath", "messageExpression")
    return {"x-kubernetes-validations": [dict(zip(names, parts, strict=False)) for parts in given]}


def validation_sentence(error: pydantic.ValidationError, *path: str) -> str:
    """Return path and message of the first error, such as "spec.data[0].name: field required".

    `path` leads to the validated part. Of a rule of Keyturn it is that rule's own message.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*path, *first["loc"]))
    message = _message(first)
    return ": ".join(filter(None, (place.removeprefix("."), message[:1].lower() + message[1:])))


_REMEDIES: Final = MappingProxyType(
    {
        "bool_parsing": "write true or false",
        "bool_type": "write true or false",
        "dict_type": "write fields below it",
        "enum": "write {expected}",
        "extra_forbidden": "the field is unknown; remove it",
        "int_from_float": "write a whole number",
        "int_parsing": "write a whole number",
        "int_type": "write a whole number",
        "list_type": "write a list",
        "literal_error": "write {expected}",
        "model_type": "write fields below it{example}",
        "string_type": "write text, in quotes",
        "too_long": "write at most {max_length} of them",
        "too_short": "write at least {min_length} of them",
    }
)
"""What to write, by type of pydantic's error, where its own message has terms of Python."""


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    raised = context.get("error")
    if isinstance(raised, ValueError):
        return str(raised)
    remedy = _REMEDIES.get(error["type"])
    if remedy is None:
        return error["msg"]
    return remedy.format(**context, example=_example_of(context.get("class_name")))


def _example_of(model: str | None) -> str:
    """Return ", such as" with the first field of a model, one that is required if there is one."""
    fields = next((one.model_fields for one in _models(Schema) if one.__name__ == model), {})
    ordered = sorted(fields.items(), key=lambda field: not field[1].is_required())
    return next((f", such as {field.alias or name}" for name, field in ordered), "")


def _models(base: type[Schema]) -> Iterator[type[Schema]]:
    for one in base.__subclasses__():
        yield one
        yield from _models(one)

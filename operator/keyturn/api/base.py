"""Building blocks of every API model: its base class, CEL rules, error paths, patterns, a one-of, and durations."""

import ast
import functools
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Self

import orjson
import pydantic
from pydantic.alias_generators import to_camel
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.plugin import _loader as plugins
from pydantic_core import CoreSchema, ErrorDetails, core_schema

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
    return docstrings_in(model.__module__).get(model.__name__, {})


@functools.cache
def docstrings_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the string below each field, or member of an enum, for each class of a module."""
    source = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: dict(_described(one.body)) for one in ast.walk(source) if isinstance(one, ast.ClassDef)}


def _described(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(body):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(written))),
            ):
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


@dataclass(frozen=True, slots=True)
class Spelled:
    """Annotation of a text field: pattern, error message and maximum length."""

    pattern: str
    """Valid in RE2 and in Python, from ^ to $."""
    sentence: str
    longest: int
    others: tuple[tuple[str, str], ...] = ()
    """Further rules and messages, of the API server alone."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        rule = (f"self.matches(r'{self.pattern}')", self.sentence)
        return {**handler(schema), "maxLength": self.longest, **rules(rule, *self.others)}

    def _check(self, text: str) -> str:
        if len(text) > self.longest or not re.fullmatch(self.pattern, text):
            raise ValueError(self.sentence)
        return text


class Choice(pydantic.RootModel[dict[str, dict[str, Any]]]):
    """Exactly one kind, keyed by its name, with its settings.

    The kinds are registered elsewhere; `installation` adds their schemas to the CRD.
    """

    model_config = pydantic.ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)

    rule: ClassVar[str]
    """Error message if there is no kind or more than one."""

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.root) != 1:
            raise ValueError(self.rule)
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.root))

    @property
    def settings(self) -> dict[str, Any]:
        return self.root[self.kind]

    @cached_property
    def text(self) -> str:
        """Canonical JSON of the choice (sorted keys), for comparison with a stored one."""
        return orjson.dumps(self.root, option=orjson.OPT_SORT_KEYS).decode()


_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"([0-9]+)([smhdw])")
_MAX_DURATION = timedelta(days=36500)

_WRITTEN = "^([0-9]+[smhdw])+$"
_HINT = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"


def parse_duration(text: object) -> timedelta:
    """Parse a duration; a timedelta is returned unchanged.

    Raises:
        ValueError: It has another syntax, or is longer than 36500d.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(_WRITTEN, text):
        raise ValueError(_HINT)
    total = sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text))
    if total > _MAX_DURATION.total_seconds():
        raise ValueError("write a duration of at most 36500d")
    return timedelta(seconds=total)


def format_duration(length: timedelta) -> str:
    """Format a duration, to whole seconds, in the fewest units that are exact; weeks are written in days."""
    seconds_left = int(length.total_seconds())
    parts = []
    for unit, seconds in _SECONDS.items():
        if unit == "w":  # 90d reads better than 12w6d
            continue
        count, seconds_left = divmod(seconds_left, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _longer_than_zero(length: timedelta) -> timedelta:
    if length <= timedelta(0):
        raise ValueError(f"{_HINT}, longer than zero")
    return length


def _schema(*validations: tuple[str, str]) -> Any:
    return pydantic.WithJsonSchema(
        {
            "type": "string",
            "maxLength": 32,
            "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in validations],
        }
    )


_IS_WRITTEN = (f"self.matches('{_WRITTEN}')", _HINT)
_IS_POSITIVE = ("self.matches('[1-9]')", f"{_HINT}, longer than zero")

Duration = Annotated[
    timedelta,
    pydantic.BeforeValidator(parse_duration),
    pydantic.AfterValidator(_longer_than_zero),
    pydantic.PlainSerializer(format_duration),
    _schema(_IS_WRITTEN, _IS_POSITIVE),
]
Pause = Annotated[
    timedelta,
    pydantic.BeforeValidator(parse_duration),
    pydantic.PlainSerializer(format_duration),
    _schema(_IS_WRITTEN),
]


AS_SET: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}
"""Extra of the schema of a list whose entries are different ones in any order."""
BY_TYPE: Final[dict[str, Any]] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
"""Extra of the schema of a list with one entry for each type."""
FORMS = frozenset({"dockerConfig"})
"""Generators that write the value of another item in another form, and have no secret of their own."""


class Recipe(Choice):
    """Exactly one generator with its settings, such as `password: {length: 40}` or `uuid: {}`."""

    rule = "write exactly one generator under generate"

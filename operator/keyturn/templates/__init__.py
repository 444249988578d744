"""Liquid templates of a Secret: checked before a value exists, rendered once per revision.

`engine` restricts Liquid so that a template cannot reach or exhaust anything, `filters` has the filters and counts
work and size. No error of Liquid leaves this package, not even as the cause of another, because it can quote a value.
`TemplateFailed` names the key of the failed template, and nothing else.

Imports: `core`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.items import VALUE, is_spread
from keyturn.core.state.records import ItemValues, Rendered
from keyturn.core.value import Value

if TYPE_CHECKING:
    from keyturn.core.state.records import Revision

    from .engine import Reference
    from .filters import Budget

__all__ = ["NOW", "TemplateFailed", "check", "inputs", "is_known", "previous_inputs", "render", "rendered"]

NOW = "now"
"""Name by which a template reads the time of rendering."""
_VALUES = "values"
"""Name by which a template reads any value, whatever its name."""
_PREVIOUS = "previous"
"""Name by which a template reads the previous value of another during the overlap, unless an item has this name."""
_TEXT = ("value",)
_MAX_TOTAL = 64 * 1024
_MAX_VERDICTS = 4096

_Names = dict[str, tuple[str, ...]]
_verdicts: dict[bytes, str] = {}


class TemplateFailed(Stalled):
    """A template cannot be rendered with the given values.

    An author could choose the failing line by a property of a value, so a status with the line would reveal the value
    character by character. `flaw` has the line, for users who hold the values: the command line.
    """

    def __init__(self, key: str, flaw: str) -> None:
        super().__init__(
            ErrorReason.TEMPLATE_FAILED,
            f"template {key!r} cannot be rendered with the values that there are: it reads what is not there, or what"
            " is no text, or computes what it cannot, or too much; give a default, write base64_encode, hash at most"
            " 72 bytes by bcrypt, or loop less",
        )
        self.flaw = flaw


def check(
    templates: Mapping[str, str], names: Mapping[str, tuple[str, ...]], *, is_open: bool = False
) -> None:
    """Check templates without values; `names` has the outputs of each value, `is_open` allows further values.

    It can take long, like `render`: run it in a thread.

    Raises:
        Stalled: InvalidTemplate: a syntax error, an unknown filter, or an unknown value.
    """
    if not templates:
        return
    key = _key(templates, names, is_open=is_open)
    verdict = _verdicts.get(key)
    if verdict is None:
        if len(_verdicts) >= _MAX_VERDICTS:
            _verdicts.clear()
        verdict = _verdicts[key] = _verdict(templates, dict(names), is_open=is_open)
    if verdict:
        raise Stalled(ErrorReason.INVALID_TEMPLATE, verdict)


def is_known(
    templates: Mapping[str, str], names: Mapping[str, tuple[str, ...]], *, is_open: bool = False
) -> bool:
    """Whether `check` would return at once, because its result is cached."""
    return not templates or _key(templates, names, is_open=is_open) in _verdicts


def _key(templates: Mapping[str, str], names: Mapping[str, tuple[str, ...]], *, is_open: bool) -> bytes:
    # Most reconciles check the same templates again, and parsing takes ten times as long as hashing.
    asked = orjson.dumps([dict(templates), dict(names), is_open], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(asked, digest_size=16).digest()


def inputs(template: str, names: Iterable[str]) -> frozenset[str]:
    """Return which of `names` a template reads, by its text, and NOW if it reads the time.

    Raises:
        Stalled: It has a syntax error.
    """
    from .engine import Template  # noqa: PLC0415  # on first use: Liquid takes 18 MB

    every = frozenset(names)
    parsed = Template("", template)
    names_read = {NOW} if parsed.reads_time() else set[str]()
    for reference in parsed.references():
        match reference.segments:
            case ("values", str(name), *_):
                names_read.add(name)
            case (str(name), *_) if name != _VALUES:
                names_read.add(name)
            case _:
                names_read |= every
    return frozenset(names_read) & (every | {NOW})


def previous_inputs(template: str, names: Iterable[str]) -> frozenset[str]:
    """Return of which of `names` a template reads the previous value, by its text.

    Raises:
        Stalled: It has a syntax error.
    """
    from .engine import Template  # noqa: PLC0415  # on first use: Liquid takes 18 MB

    every = frozenset(names)
    if _PREVIOUS in every or _PREVIOUS not in template:
        return frozenset()
    read = frozenset[str]()
    for reference in Template("", template).references():
        match reference.segments:
            case (str(first), str(name), *_) if first == _PREVIOUS:
                read |= {name}
            case (str(first), *_) if first == _PREVIOUS:
                read |= every
    return read & every


def render(
    templates: Mapping[str, str],
    values: Mapping[str, Mapping[str, Value]],
    now: datetime,
    budget: Budget | None = None,
    *,
    earlier: Mapping[str, Mapping[str, Value]] = MappingProxyType({}),
) -> dict[str, Value]:
    """Render each template within one budget; `budget` shares it with other calls.

    `earlier` has the previous values that are valid during an overlap.

    Templates are untrusted programs: run it in a thread.

    Raises:
        TemplateFailed: One cannot be rendered with these values; the error does not quote them.
    """
    from .engine import Template, absent, exposed  # noqa: PLC0415  # on first use: Liquid takes 18 MB
    from .filters import Budget, Names  # noqa: PLC0415

    by_name = {name: exposed(name, outputs) for name, outputs in values.items()}
    previous = {
        name: exposed(name, earlier[name]) if name in earlier else absent(name, outputs)
        for name, outputs in values.items()
    }
    first = {_PREVIOUS: Names(_PREVIOUS, previous)}
    given = {**first, **by_name, _VALUES: Names(_VALUES, by_name), NOW: now}
    budget = budget or Budget()
    return {key: Value.of_text(Template(key, text).render(given, budget)) for key, text in templates.items()}


def rendered(
    templates: Mapping[str, str], values: Mapping[str, ItemValues], before: Revision | None, now: datetime
) -> dict[str, Rendered]:
    """Render the templates of a revision; a result whose inputs are unchanged is taken from the revision before.

    Raises:
        TemplateFailed: One cannot be rendered with these values.
    """
    values, known = _by_name(values), _by_name(before.values) if before else {}
    same = {name for name, kept in values.items() if name in known and known[name].outputs == kept.outputs}
    # The time alone is no reason, so if every value is unchanged it counts as unchanged, too.
    unchanged = same | ({NOW} if len(same) == len(values) else set())
    stays = {
        key: before.rendered[key]
        for key, text in templates.items()
        if before
        and key in before.rendered
        and before.rendered[key].template == text
        and inputs(text, values.keys() | known.keys()) <= unchanged
    }
    outputs = {name: kept.outputs for name, kept in values.items()}
    made = render({key: text for key, text in templates.items() if key not in stays}, outputs, now)
    settled = {
        key: replace(stays[key], overlap=None) if key in stays else Rendered(text, made[key])
        for key, text in templates.items()
    }
    return settled | _during_overlap(settled, stays, values, known, now)


def _during_overlap(
    settled: Mapping[str, Rendered],
    stays: Mapping[str, Rendered],
    values: Mapping[str, ItemValues],
    known: Mapping[str, ItemValues],
    now: datetime,
) -> dict[str, Rendered]:
    """Return the templates that read previous values, with their result during the overlap."""
    earlier = {name: kept.earlier for name, kept in values.items() if kept.earlier}
    if not earlier:
        return {}
    same = {name for name in values.keys() & known.keys() if values[name].earlier == known[name].earlier}
    reads = {key: previous_inputs(one.template, values) for key, one in settled.items()}
    lasting = {key: stays[key] for key in stays if reads[key] & earlier.keys() and reads[key] <= same}
    others = {key: one.template for key, one in settled.items() if reads[key] & earlier.keys()}
    others = {key: text for key, text in others.items() if key not in lasting}
    outputs = {name: kept.outputs for name, kept in values.items()}
    made = render(others, outputs, now, earlier=earlier)
    differing = {key: value for key, value in made.items() if value != settled[key].value}
    return lasting | {key: replace(settled[key], overlap=value) for key, value in differing.items()}


def _by_name(values: Mapping[str, ItemValues]) -> Mapping[str, ItemValues]:
    """Return values by their names in templates: those of dataFrom by key, unless an item of data has that name."""
    spread = {
        key: ItemValues(kept.recipe, {VALUE: kept.outputs[output]}, {VALUE: key})
        for name, kept in values.items()
        if is_spread(name)
        for output, key in kept.keys.items()
    }
    return spread | {name: kept for name, kept in values.items() if not is_spread(name)}


# Checks without values.


def _verdict(templates: Mapping[str, str], names: _Names, *, is_open: bool) -> str:
    """Return what is wrong with the first wrong template; empty if nothing is."""
    from .engine import Template  # noqa: PLC0415  # on first use: Liquid takes 18 MB

    total = sum(len(text.encode()) for text in templates.values())
    if total > _MAX_TOTAL:
        most = _MAX_TOTAL // 1024
        return f"the templates together may have {most} KiB; split them over several ManagedSecrets"
    try:
        for key, text in templates.items():
            template = Template(key, text)
            for reference in template.references():
                sentence = _flaw(reference, names)
                if sentence and not is_open:
                    return template.flaw(sentence, reference.line)
    except Stalled as stalled:
        return stalled.message
    return ""


def _flaw(reference: Reference, names: _Names) -> str | None:
    """Return a message about an unknown value, with the known ones; None if the reference may be valid."""
    match reference.segments:
        case ("now", *_):
            return None
        case ("values",):
            return None
        case ("values", str(name), *rest):
            return _flaw_of(name, rest, names)
        case (str(first), *rest) if first == _PREVIOUS and _PREVIOUS not in names:
            return _flaw_of(rest[0], rest[1:], names) if rest and isinstance(rest[0], str) else None
        case (str(name), *rest) if name != _VALUES:
            return _flaw_of(name, rest, names)
        case _:
            return None  # a computed name; only rendering can tell


def _flaw_of(name: str, rest: list[object], names: _Names) -> str | None:
    outputs = names.get(name)
    if outputs is None:
        dotted = ".".join((name, *(part for part in rest if isinstance(part, str))))
        hint = f'; write {{{{ values["{dotted}"] }}}}' if dotted in names else ""
        return f"there is no value {name!r}{hint or _there_is(sorted(names))}"
    if not rest or not isinstance(rest[0], str) or rest[0] in {"size", "first", "last"}:
        return None
    if outputs == _TEXT:
        spelled = name if name.replace("-", "_").isidentifier() else f'values["{name}"]'
        return f"{name!r} is one text and has no {rest[0]!r}; write {{{{ {spelled} }}}}"
    return None if rest[0] in outputs else f"{name!r} has no {rest[0]!r}{_there_is(outputs)}"


def _there_is(names: Iterable[str]) -> str:
    return f"; there is: {', '.join(names)}"

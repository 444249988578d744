"""Converts templates, and determines the keys of the Secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .gofunctions import Expression, literal
from .gotemplate import Untranslatable, to_liquid
from .items import ConvertedItem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .items import Sources
    from .strict_reader import StrictReader

__all__ = ["Texts", "templated"]

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_RESERVED: Final = frozenset(
    {
        "and",
        "blank",
        "contains",
        "else",
        "empty",
        "false",
        "for",
        "if",
        "in",
        "nil",
        "not",
        "now",
        "null",
        "or",
    }
    | {"reversed", "true", "values", "with"}
)
"""Reserved words of Liquid."""
_WRITE: Final = "write it in Liquid under target.template.data, by docs/shape.md"


@dataclass(frozen=True, slots=True)
class Texts:
    """Values, and the templates over them."""

    sources: Sources
    data: Mapping[str, str]


def templated(template: StrictReader, sources: Sources) -> Texts:
    """Translate target.template, as far as it has keys."""
    template.lost_unless(
        "v2",
        "engineVersion",
        "is the earlier template engine, whose functions differ",
        "compare the converted templates with the original ones",
    )
    merges = template.text("mergePolicy") == "Merge"
    written = template.texts_by_name("data")
    _report_on_files(template)
    read = _Read(sources, {})
    for key, text in written.items():
        read.take(template.part("data"), key, text)
    renamed = read.renamed() if written and not merges else read
    _report_on_more_keys(template, written, renamed, merges=merges)
    return Texts(renamed.sources, {**_decoded(renamed), **renamed.data})


@dataclass(slots=True)
class _Read:
    sources: Sources
    data: dict[str, str]

    def take(self, part: StrictReader, key: str, text: str) -> None:
        try:
            self.data[key] = to_liquid(text, self._value)
        except Untranslatable as reason:
            part.report.lost(part.at(key), f"{reason}; this key is left out", _WRITE, quoted=text)

    def _value(self, name: str) -> Expression:
        item = next((item for item in self.sources.items if item.name == name), None)
        if item is None and not self.sources.whole:
            raise Untranslatable(f"reads {name!r}, which data does not bring")
        made = _reference(name)
        return made.then(item.decoder) if item and item.decoder else made

    def renamed(self) -> _Read:
        """Rename a value like the templates that only repeat it, which are dropped then."""
        items, data = list[ConvertedItem](), dict(self.data)
        for item in self.sources.items:
            keys = self._repeating(item)
            for key in keys:
                del data[key]
            items += [item.named(key) for key in keys] or [item]
        return _Read(replace(self.sources, items=tuple(items)), data)

    def _repeating(self, item: ConvertedItem) -> list[str]:
        """Return the keys that only repeat a value, if no other template reads it."""
        alone = f"{{{{ {_reference(item.name).head} }}}}"
        keys = [key for key, text in self.data.items() if text == alone]
        others = {other.name for other in self.sources.items} - {item.name}
        is_read = any(_reads(text, item.name) for key, text in self.data.items() if key not in keys)
        is_split = len(keys) > 1 and not item.is_pulled
        return [] if item.decoder or is_read or is_split or others & set(keys) else keys


def _reference(name: str) -> Expression:
    if _WORD.fullmatch(name) and name not in _RESERVED:
        return Expression(name)
    return Expression(f"values[{literal(name).argument}]")


def _reads(text: str, name: str) -> bool:
    """Whether a template may read a value; a false positive does no harm."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _decoded(read: _Read) -> dict[str, str]:
    """Return the templates of decoding strategies; a template under the name of an item has precedence."""
    return {
        item.name: f"{{{{ {_reference(item.name).then(item.decoder).written} }}}}"
        for item in read.sources.items
        if item.decoder
    }


def _report_on_files(template: StrictReader) -> None:
    for entry in template.parts("templateFrom"):
        text = entry.text("literal")
        entry.ignore("configMap", "secret", "target")
        entry.report.lost(
            entry.path,
            "makes keys of a template in another place, which Keyturn does not read",
            _WRITE,
            text or "",
        )


def _report_on_more_keys(
    template: StrictReader, written: Mapping[str, str], read: _Read, *, merges: bool
) -> None:
    more = [item.name for item in read.sources.items if item.name not in written]
    if not written or merges or not (more or read.sources.whole):
        return
    names = ", ".join(more) or "every property of dataFrom"
    template.report.changed(
        template.at("data"),
        f"is all that the Secret had; it has {names} as well, since templates read what is in it",
    )

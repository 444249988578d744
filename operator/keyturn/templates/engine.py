"""Restricted Liquid for untrusted templates: a template reads values, and can neither reach nor exhaust anything.

There is no loader, so no file and no other template. The remaining tags are in `_TAGS`, the filters in `filters`.
Work is counted where it is done: each rendered node, each name lookup, each loop iteration, the length of each text
that is read or produced, and the memory of all that is kept. So the result for a template does not depend on timing.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, ClassVar, Final, TextIO

from liquid import BoundTemplate, Environment, RenderContext, StrictDefaultUndefined
from liquid.builtin.content import Literal
from liquid.builtin.illegal import Illegal
from liquid.builtin.output import Output
from liquid.builtin.tags.assign_tag import AssignTag
from liquid.builtin.tags.capture_tag import CaptureTag
from liquid.builtin.tags.case_tag import CaseTag
from liquid.builtin.tags.for_tag import BreakTag, ContinueTag, ForNode, ForTag
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import LiquidError, LiquidInterrupt, LiquidSyntaxError, UndefinedError
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason

from . import TemplateFailed
from .filters import FILTERS, LARGEST, Binary, Budget, Names, Refused, guarded, size_of, weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from liquid.ast import IllegalNode
    from liquid.stream import TokenStream

    from keyturn.core.value import Value

_MAX_MESSAGE_LENGTH: Final = 100
_DATE: Final = "date"
_TIMES: Final = frozenset({"now", "today"})
"""Texts that Liquid's filter date reads as the current time."""
_GO: Final = frozenset({"expected a primitive expression, found dot"})
"""Liquid's message for a field of a Go template, which External Secrets uses."""


def exposed(name: str, outputs: Mapping[str, Value]) -> object:
    """Return a value as templates read it: a text, or several by the names of its outputs."""
    if outputs.keys() == {"value"}:
        return _text_of(name, outputs["value"])
    return Names(name, {output: _text_of(f"{name}.{output}", value) for output, value in outputs.items()})


def absent(name: str, outputs: Iterable[str]) -> object:
    """Return a value that does not exist, as templates read it: empty and false, with every output."""
    every = tuple(outputs)
    return None if every == ("value",) else Names(name, dict.fromkeys(every))


def _text_of(name: str, value: Value) -> str | Binary:
    content = value.reveal()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Binary(name, content)


# Templates.


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference of a template to a value."""

    segments: tuple[object, ...]
    line: int


class Template:
    """A parsed template."""

    def __init__(self, key: str, text: str) -> None:
        """Parse `text`, the template of a Secret's `key`.

        Raises:
            Stalled: InvalidTemplate: it has a syntax error.
        """
        self._key = key
        self._text = text
        try:
            self._read = _environment().from_string(text)
        except LiquidError as error:
            raise Stalled(
                ErrorReason.INVALID_TEMPLATE, self.flaw(_syntax(error), self._line_of(error))
            ) from None

    def references(self, filters: Collection[str] = FILTERS.keys()) -> Iterator[Reference]:
        """Yield the values that the template reads, without its own variables.

        Raises:
            Stalled: InvalidTemplate: it uses a filter that is not in `filters`.
        """
        analysis = self._read.analyze(include_partials=False)
        for name, spans in analysis.filters.items():
            if name not in filters:
                raise Stalled(
                    ErrorReason.INVALID_TEMPLATE,
                    self.flaw(_no_filter(name, filters), self._line(spans[0].index)),
                )
        for variables in analysis.globals.values():
            for variable in variables:
                yield Reference(tuple(variable.segments), self._line(variable.span.index))

    def reads_time(self) -> bool:
        """Whether it may give the filter date the text 'now' or 'today'."""
        has_text = any(text in self._text for text in _TIMES)
        return has_text and _DATE in self._read.analyze(include_partials=False).filters

    def flaw(self, sentence: str, line: int) -> str:
        """Return a message with the template's key and line."""
        return f"template {self._key!r}, line {line}: {sentence}"

    def render(self, given: Mapping[str, object], budget: Budget) -> str:
        """Return the rendered text.

        Raises:
            TemplateFailed: It cannot be rendered; the error does not quote the values.
        """
        context = _Context(self._read, globals=given)
        context.budget = budget
        written = _Writer(budget)
        try:
            self._read.render_with_context(context, written)
            return written.getvalue()
        except (LiquidError, LiquidInterrupt) as error:
            sentence, line = _reason(error), self._line_of(error)
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
            sentence, line = "it cannot be rendered with the present values", 1
        # Raised outside the handler, so that Liquid's message about the values is not even the context.
        raise TemplateFailed(self._key, self.flaw(sentence, line))

    def _line_of(self, error: Exception) -> int:
        token = getattr(error, "token", None)
        if token is None:
            return 1
        return self._line(token.start_index if token.start_index >= 0 else len(self._text))

    def _line(self, index: int) -> int:
        return self._text.count("\n", 0, index) + 1


def _syntax(error: LiquidError) -> str:
    """Return Liquid's message about a syntax error; the text has no values yet."""
    message = " ".join(str(error.message).split())
    if message in _GO:
        return f"{message}; this is Go template syntax, and Keyturn uses Liquid: write {{{{ NAME }}}} without the dot"
    tags = ", ".join(sorted(tag.name for tag in _TAGS if tag.name.isalpha() and tag not in _PSEUDO))
    hint = f"; there are the tags {tags}, raw and comment" if isinstance(error, _UnknownTagError) else ""
    return f"{message[:_MAX_MESSAGE_LENGTH]}{hint}"


def _no_filter(name: str, filters: Collection[str]) -> str:
    return f"there is no filter {name!r}; there are: {', '.join(sorted(filters))}"


def _reason(error: LiquidError | LiquidInterrupt) -> str:
    match error:
        case Refused():
            return error.sentence
        case UndefinedError():
            return "it reads an unknown name; give it a default, such as {{ config.user | default: 'shop' }}"
        case LiquidSyntaxError():
            return "break and continue are allowed in a for loop only"
        case _:
            return "it compares or computes values of unsuitable types"


# Rendering and its cost.


class _Writer(StringIO):
    """Output buffer, limited to what a Secret can hold."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        self._size = 0

    def write(self, text: str, /) -> int:
        size = len(text.encode())
        self._budget.spend(0, size)
        self._size += size
        if self._size > LARGEST:
            raise Refused(f"it makes more than the {LARGEST // 1024} KiB that a Secret holds")
        return super().write(text)


class _Context(RenderContext):
    """Render context that counts lookups and nodes."""

    budget: Budget

    @property
    def disabled_tags(self) -> list[str]:
        """Liquid reads this before each node is rendered, so nodes are counted here."""
        self.budget.spend(1, 0)
        return []

    @disabled_tags.setter
    def disabled_tags(self, tags: list[str]) -> None:
        pass

    def get(self, path: list[object], *, token: Token | None, **kwargs: object) -> object:
        looked_up = super().get(path, token=token, **kwargs)
        self.budget.spend(1, size_of(looked_up))
        return looked_up

    def assign(self, key: str, val: object) -> None:
        """Keep a value until rendering ends; its memory is counted."""
        self.budget.spend(0, weight_of(val))
        super().assign(key, val)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        del token
        apply = functools.partial(guarded, self.budget, name)
        return functools.partial(_dated, apply, self.globals.get("now")) if name == _DATE else apply

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.budget.spend(length, 0)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        del buf
        return _Writer(self.budget)


def _dated(
    apply: Callable[..., object], now: object, given: object, *others: object, **named: object
) -> object:
    """Apply the filter date, for which Liquid reads the texts 'now' and 'today' as the time of rendering."""
    is_now = now is not None and isinstance(given, str) and given in _TIMES
    return apply(now if is_now else given, *others, **named)


class _Loop(ForNode):
    """Loop whose items are counted before they are created, which `reversed` does at once."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        items = self.expression.iterable.evaluate(context)
        if isinstance(items, range):
            context.raise_for_loop_limit(len(items))
        return super().render_to_output(context, buffer)


class _ForTag(ForTag):
    node_class = _Loop


class _Bound(BoundTemplate):
    def make_partial_namespace(
        self,
        partial: bool,  # noqa: FBT001  # Liquid's signature
        render_args: Mapping[str, object],
    ) -> Mapping[str, object]:
        """Add nothing: Liquid's own `partial` would hide a value of that name."""
        del partial
        return render_args


# Parsing.


class _UnknownTagError(LiquidSyntaxError):
    """An unknown tag."""


class _Illegal(Illegal):
    """Tag that takes the place of every unknown one."""

    def parse(self, stream: TokenStream) -> IllegalNode:
        name = stream.current.value
        try:
            return super().parse(stream)
        except LiquidSyntaxError as error:
            if not name:
                raise
            raise _UnknownTagError(str(error.message), token=error.token) from None


_PSEUDO = (Literal, Output, _Illegal)
_TAGS = (*_PSEUDO, IfTag, UnlessTag, CaseTag, _ForTag, BreakTag, ContinueTag, AssignTag, CaptureTag)


class _Environment(Environment):
    template_class = _Bound
    context_depth_limit: ClassVar[int] = 40  # blocks nest at most 30 deep

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        del extra
        for tag in _TAGS:
            self.add_tag(tag)
        for name, filter_ in FILTERS.items():
            self.add_filter(name, filter_)

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        return tokens


@functools.cache
def _environment() -> _Environment:
    return _Environment(undefined=StrictDefaultUndefined)


_MAX_LENGTH: Final = 500  # within braces: the expression parser is quadratic in its length
_OPENING: Final = re.compile(r"\{[{%]-?")
_CLOSING: Final = {"{{": "}}", "{%": "%}"}
_NAME: Final = re.compile(r"\s*(#|\w*)\s*")
_END_OF: Final = {name: re.compile(rf"\{{%(-?)\s*end{name}\s*(-?)%\}}") for name in ("raw", "comment")}


@dataclass(frozen=True, slots=True)
class _Markup:
    """A `{{ … }}` or `{% … %}`."""

    source: str
    start: int
    inner: int
    """Start of the content."""
    outer: int
    """End of the content."""
    end: int

    @property
    def is_output(self) -> bool:
        return self.source.startswith("{{", self.start)

    @property
    def strips_after(self) -> bool:
        return self.source[self.outer] == "-"

    @property
    def name(self) -> str:
        """Name of a tag; empty for an output."""
        match = _NAME.match(self.source, self.inner, self.outer)
        return match[1] if match and not self.is_output else ""


def tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of a template for Liquid's parser; comments are left out.

    Raises:
        LiquidSyntaxError: A markup is not closed, or too long.
    """
    place, strips = 0, False
    while opening := _OPENING.search(source, place):
        markup = _markup(source, opening)
        yield from _content(source, place, markup.start, left=strips, right=opening[0].endswith("-"))
        place, strips = markup.end, markup.strips_after
        if ending := _END_OF.get(markup.name):
            closing = ending.search(source, place)
            if closing is None:
                raise _error(f"{markup.name} is never closed", source, markup.start)
            if markup.name == "raw":
                yield from _content(source, place, closing.start(), left=strips, right=bool(closing[1]))
            place, strips = closing.end(), bool(closing[2])
        elif markup.name != "#":
            yield from _output(markup) if markup.is_output else _tag(markup)
    yield from _content(source, place, len(source), left=strips, right=False)


def _markup(source: str, opening: re.Match[str]) -> _Markup:
    start, inner = opening.span()
    closing = source.find(_CLOSING[opening[0][:2]], inner)
    if closing < 0:
        raise _error(f"{opening[0]} is never closed", source, start)
    if closing - inner > _MAX_LENGTH:
        raise _error(f"write at most {_MAX_LENGTH} characters within braces", source, start)
    outer = closing - 1 if closing > inner and source[closing - 1] == "-" else closing
    return _Markup(source, start, inner, outer, closing + 2)


def _content(source: str, start: int, end: int, *, left: bool, right: bool) -> Iterator[Token]:
    text = source[start:end]
    text = text.lstrip() if left else text
    text = text.rstrip() if right else text
    if text:
        yield Token(TOKEN_CONTENT, text, start, source)


def _output(markup: _Markup) -> Iterator[Token]:
    yield Token(TOKEN_OUTPUT, markup.source[markup.start : markup.end], markup.start, markup.source)
    yield _expression(markup, markup.inner)


def _tag(markup: _Markup) -> Iterator[Token]:
    match = _NAME.match(markup.source, markup.inner, markup.outer)
    place = match.end() if match else markup.inner
    yield Token(TOKEN_TAG, markup.name, markup.start, markup.source)
    if place < markup.outer:
        yield _expression(markup, place)


def _expression(markup: _Markup, place: int) -> Token:
    text = markup.source[place : markup.outer]
    return Token(TOKEN_EXPRESSION, text.strip(), place + len(text) - len(text.lstrip()), markup.source)


def _error(sentence: str, source: str, place: int) -> LiquidSyntaxError:
    return LiquidSyntaxError(sentence, token=Token(TOKEN_TAG, "", place, source))

"""Restricted Liquid for untrusted templates: a template reads values, and can neither reach nor exhaust anything.

There is no loader, so no file and no other template. The remaining tags are in `_TAGS`, the filters in `filters`.
Work is counted where it is done: each rendered node, each name lookup, each loop iteration, the length of each text
that is read or produced, and the memory of all that is kept. So the result for a template does not depend on timing.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import ClassVar, Final, TextIO

from liquid import BoundTemplate, Environment, RenderContext, StrictDefaultUndefined
from liquid.ast import IllegalNode
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
from liquid.stream import TokenStream
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.value import Value

from . import TemplateFailed
from .filters import FILTERS, LARGEST, Binary, Budget, Names, Refused, guarded, size_of, weight_of

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
                sentence = f"there is no filter {name!r}; there are: {', '.join(sorted(filters))}"
                raise Stalled(ErrorReason.INVALID_TEMPLATE, self.flaw(sentence, self._line(spans[0].index)))
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

        def dated(given: object, *others: object, **named: object) -> object:
            """Apply the filter date, for which Liquid reads the texts 'now' and 'today' as the time of rendering."""
            now = self.globals.get("now") if isinstance(given, str) and given in _TIMES else None
            return apply(given if now is None else now, *others, **named)

        return dated if name == _DATE else apply

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.budget.spend(length, 0)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        del buf
        return _Writer(self.budget)


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
_OPENING: Final = re.compile(r"(\{\{-?)|(\{%-?)\s*(#|\w*)\s*")
_END_OF: Final = {name: re.compile(rf"\{{%(-?)\s*end{name}\s*(-?)%\}}") for name in ("raw", "comment")}


def tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of a template for Liquid's parser; comments are left out.

    Liquid's own lexer takes seconds for a page of blanks, during which no other thread runs.

    Raises:
        LiquidSyntaxError: A markup is not closed, or too long.
    """
    place, strips = 0, False
    while opening := _OPENING.search(source, place):
        start, inner, tag = opening.start(), opening.end(), opening[3]
        left = opening[1] or opening[2]
        closing = source.find("}}" if tag is None else "%}", inner)
        if closing < 0:
            raise _error(f"{left} is never closed", source, start)
        if closing - start - len(left) > _MAX_LENGTH:
            raise _error(f"write at most {_MAX_LENGTH} characters within braces", source, start)
        yield from _content(source, place, start, left=strips, right=left.endswith("-"))
        strips = closing > inner and source[closing - 1] == "-"
        outer, place = closing - strips, closing + 2
        if ending := _END_OF.get(tag):
            end = ending.search(source, place)
            if end is None:
                raise _error(f"{tag} is never closed", source, start)
            if tag == "raw":
                yield from _content(source, place, end.start(), left=strips, right=bool(end[1]))
            place, strips = end.end(), bool(end[2])
        elif tag != "#":
            kind, text = (TOKEN_OUTPUT, source[start:place]) if tag is None else (TOKEN_TAG, tag)
            yield Token(kind, text, start, source)
            if tag is None or inner < outer:
                text = source[inner:outer]
                yield Token(TOKEN_EXPRESSION, text.strip(), outer - len(text.lstrip()), source)
    yield from _content(source, place, len(source), left=strips, right=False)


def _content(source: str, start: int, end: int, *, left: bool, right: bool) -> Iterator[Token]:
    text = source[start:end]
    text = text.lstrip() if left else text
    text = text.rstrip() if right else text
    if text:
        yield Token(TOKEN_CONTENT, text, start, source)


def _error(sentence: str, source: str, place: int) -> LiquidSyntaxError:
    return LiquidSyntaxError(sentence, token=Token(TOKEN_TAG, "", place, source))

"""YAML in and out with the types that kubectl reads.

PyYAML reads `2026-11-24` as a date and `12:30:45` as a number of base 60. The parser of kubectl and of other Go
programs has neither, and reads more booleans and numbers, such as 0899, 1e10, 0o17, y and n: texts that some parser
reads as another type are quoted. Keys are texts. Sources: gopkg.in/yaml.v2, `resolve.go`; sigs.k8s.io/yaml,
`yaml.go`.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any, Final

import yaml

_TAG: Final = "tag:yaml.org,2002:"
_KEPT: Final = frozenset({f"{_TAG}null", f"{_TAG}merge"})
_BOOLEAN: Final = re.compile(
    r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)\Z"
)
_INTEGER: Final = re.compile(
    r"[-+]?(?:0[bB]_*[01][01_]*|0[oO]_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]*|[1-9][0-9_]*)\Z"
)
_FLOAT: Final = re.compile(
    r"(?:[-+]?(?:[.][0-9][0-9_]*|[0-9][0-9_]*(?:[.][0-9_]*)?)(?:[eE][-+]?[0-9][0-9_]*)?"
    r"|[-+]?[.](?:inf|Inf|INF)|[.](?:nan|NaN|NAN))\Z"
)
_MAX_REPEATED: Final = 1_000_000
_HUGE: Final = 2**62
_OCTAL: Final = re.compile(r"^([-+]?)0(?=[0-7])")


class TooManyAliases(yaml.YAMLError):
    """The aliases of a document repeat more than a million nodes and characters; kubectl has such a limit too."""


class YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # either has the same methods
    """A safe loader whose plain scalars have the types of kubectl."""

    yaml_implicit_resolvers: Final = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_document(self, node: yaml.Node) -> Any:
        """Construct each part as a whole, so that an alias within its own anchor is an error, as for kubectl."""
        _check_aliases(node)
        self.deep_construct = True
        return super().construct_document(node)


def _check_aliases(root: yaml.Node) -> None:
    """Check before construction, because what walks the document visits each part as often as aliases repeat it."""
    with_repeats, once = dict[int, int](), 0

    def size_of(node: yaml.Node) -> int:
        nonlocal once
        if id(node) not in with_repeats:
            own = 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            once += own
            with_repeats[id(node)] = own  # for an alias within its own anchor
            parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
            parts = () if isinstance(node, yaml.ScalarNode) else parts
            with_repeats[id(node)] = min(own + sum([size_of(one) for one in parts]), _HUGE)
        return with_repeats[id(node)]

    if size_of(root) - once > _MAX_REPEATED:
        raise TooManyAliases


def _integer(loader: YamlLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    return int(_OCTAL.sub(r"\g<1>0o", text), 0)


def _mapping(loader: YamlLoader, node: yaml.MappingNode) -> Iterator[dict[str, Any]]:
    """Construct a mapping, whose keys become texts as in JSON."""
    made: dict[str, Any] = {}
    yield made
    loader.flatten_mapping(node)
    made.update(
        (_key(loader.construct_object(key, deep=True)), loader.construct_object(value))
        for key, value in node.value
    )


def _key(key: object) -> str:
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int():
            return str(key)
        case float() if key.is_integer():
            return str(int(key))
        case float():
            return str(key)
        case _:
            raise yaml.constructor.ConstructorError(None, None, "a key is a text")


def _tagged(loader: YamlLoader, _: str, node: yaml.Node) -> Any:
    """Construct what has a tag of an application, as if it had none."""
    match node:
        case yaml.MappingNode():
            return _mapping(loader, node)
        case yaml.SequenceNode():
            return loader.construct_yaml_seq(node)
        case _:
            return loader.construct_scalar(node)


YamlLoader.add_implicit_resolver(f"{_TAG}bool", _BOOLEAN, list("yYnNtTfFoO"))
YamlLoader.add_implicit_resolver(f"{_TAG}int", _INTEGER, list("-+0123456789"))
YamlLoader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))
YamlLoader.add_constructor(
    f"{_TAG}bool", lambda loader, node: loader.construct_scalar(node).lower() in {"y", "yes", "true", "on"}
)
YamlLoader.add_constructor(f"{_TAG}int", _integer)
YamlLoader.add_constructor(f"{_TAG}map", _mapping)
YamlLoader.add_multi_constructor("!", _tagged)


def load_all(text: str | bytes | IO[bytes]) -> list[Any]:
    """Return the documents of a stream.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: It is not valid; the error may quote it.
    """
    if isinstance(text, bytes) and text.lstrip()[:1] == b"{":
        try:
            return _json(text.decode("utf-8-sig"))
        except ValueError:
            pass  # it may be YAML with braces
    return list(yaml.load_all(text, Loader=YamlLoader))


def _json(text: str) -> list[Any]:
    """Return the objects of a JSON stream, which kubectl reads as JSON: its escapes are not all YAML."""
    decoder, objects, left = json.JSONDecoder(), list[Any](), text.lstrip()
    while left:
        found, end = decoder.raw_decode(left)
        objects.append(found)
        left = left[end:].lstrip()
    return objects


def without_nulls(part: Any) -> Any:
    """Drop the fields without a value, which the API server prunes; null in a list stays, which it refuses."""
    match part:
        case dict():
            return {name: without_nulls(one) for name, one in part.items() if one is not None}
        case list():
            return [without_nulls(one) for one in part]
        case _:
            return part


_NUMBER: Final = re.compile(
    r"(?:[-+]?(?:[.][0-9_]+|[0-9][0-9_]*(?:[.][0-9_]*)?)(?:[eE][-+]?[0-9_]+)?|[-+]?0[xXbBoO][-+]?[0-9a-fA-F_]+)\Z"
)
_LETTER: Final = re.compile(r"[yYnN]\Z")


class YamlDumper(yaml.SafeDumper):
    """YAML without anchors, which PyYAML writes for an object in two places."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


YamlDumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("+-.0123456789"))
YamlDumper.add_implicit_resolver("tag:yaml.org,2002:bool", _LETTER, list("yYnN"))


def dump(document: Any, **options: Any) -> str:
    """Serialise a document, with its keys in order; `options` are those of `yaml.dump`."""
    text: str = yaml.dump(document, Dumper=YamlDumper, sort_keys=False, **options)
    return text

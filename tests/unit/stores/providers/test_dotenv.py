"""How a .env file is read: as python-dotenv reads it, and from nothing else."""

import asyncio
import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dotenv
import pydantic
import pytest

from keyturn.core.value import Value
from keyturn.stores.providers import Provider, Reference, RemoteValue, discover
from keyturn.stores.providers.errors import NotFound, Refused, StoreError
from tests.support.machine_speed import pace
from tests.unit.stores.providers.provider_fixtures import opened

REFERENCE = Reference("ConfigMap", "env", "production")
SETTINGS = {"configMapRef": {"name": "env", "key": "production"}}

WILD = r"""
# a comment
PLAIN=value
export EXPORTED=yes
SPACED = around
COMMENTED=value # not this
HASH=a#b
SINGLE='single $PLAIN ${PLAIN} \' quote'
DOUBLE="double\n${PLAIN}\t\"quoted\""
MULTI="first
second"
EMPTY=
DEFAULT=${ABSENT:-fallback}
CHAIN=${PLAIN}-${DOUBLE}
URL=postgresql://u:p@h:5432/d?x=1&y=2
EQUALS=a=b==
UNICODE=Grüße
PLAIN=again
'QUOTED'=key
NOVALUE
"""


def of_text(text: str | bytes, version: str | None = "7") -> Provider[Any]:
    content = Value(text.encode() if isinstance(text, str) else text)
    return opened("dotenv", SETTINGS, referred={REFERENCE: RemoteValue(content, version)})


async def variables(provider: Provider[Any], *names: str) -> dict[str, str]:
    found = {key: (await provider.read(key)).content for key in names}
    return {key: value.reveal().decode() for key, value in found.items() if isinstance(value, Value)}


async def failing(provider: Provider[Any], key: str = "A") -> StoreError:
    with pytest.raises(StoreError) as refused:
        await provider.read(key)
    return refused.value


async def test_it_reads_what_python_dotenv_reads() -> None:
    theirs = dotenv.dotenv_values(stream=io.StringIO(WILD))
    expected = {name: text for name, text in theirs.items() if text is not None}
    assert await variables(of_text(WILD), *expected) == expected


async def test_a_variable_without_a_value_is_not_there() -> None:
    assert isinstance(await failing(of_text("A\n")), NotFound)


async def test_nothing_comes_from_the_environment_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "of the operator")
    assert await variables(of_text("A=${CANARY}\nB=${CANARY:-mine}\n"), "A", "B") == {"A": "", "B": "mine"}


async def test_nothing_goes_into_the_environment_of_the_operator() -> None:
    import os  # noqa: PLC0415

    before = dict(os.environ)
    await variables(of_text("KEYTURN_DOTENV_TEST=x\n"), "KEYTURN_DOTENV_TEST")
    assert dict(os.environ) == before


async def test_variables_that_double_each_other_end() -> None:
    bomb = "A=" + "x" * 1000 + "\n" + "".join("A=${A}${A}\n" for _ in range(40))
    assert (await failing(of_text(bomb))).code == "TooLarge"


@pytest.mark.parametrize(
    "text",
    ["A=b\n" * 40_000, "A=" + "${" * 60_000, "A='" + "x" * 200_000],
    ids=["lines", "variables", "an open quote"],
)
async def test_a_file_that_would_hold_others_up_is_refused_unread(
    text: str, read_through: list[None]
) -> None:
    assert (await failing(of_text(text))).code == "TooLarge"
    assert read_through == []


@pytest.mark.parametrize(
    "text", ["A=" + "${" * 100 + "x" * 65_000 + ":}", "A=\n" * 21_000], ids=["variables", "lines"]
)
async def test_the_slowest_file_that_is_read_takes_less_than_a_second_of_a_processor(text: str) -> None:
    began = time.process_time()
    with contextlib.suppress(NotFound):
        await of_text(text).read("A")
    assert time.process_time() - began < 1 * pace()


@pytest.fixture
def read_through(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count how often python-dotenv goes through a file."""
    import dotenv.parser  # noqa: PLC0415

    times: list[None] = []
    real = dotenv.parser.parse_stream

    def counted(stream: io.StringIO) -> Iterator[dotenv.parser.Binding]:
        times.append(None)
        return real(stream)

    monkeypatch.setattr(dotenv.parser, "parse_stream", counted)
    return times


@pytest.mark.parametrize("text", ["A=b\n", "A=b\nB='open\n"], ids=["a file", "a file with a typing error"])
async def test_a_file_is_read_through_once_for_all_who_read_it(text: str, read_through: list[None]) -> None:
    provider = of_text(text)

    await asyncio.gather(*(provider.read("A") for _ in range(128)), return_exceptions=True)
    await asyncio.gather(provider.read("A"), provider.read("ABSENT"), return_exceptions=True)

    assert len(read_through) == 1


async def test_a_changed_file_is_read_through_again(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=old\n")
    provider = opened("dotenv", {"path": str(tmp_path / ".env")}, files_root=tmp_path.parent)
    assert await variables(provider, "A") == {"A": "old"}

    (tmp_path / ".env").write_text("A=new\n")

    assert await variables(provider, "A") == {"A": "new"}


@pytest.mark.parametrize("text", [b"A=\xff", b"A=a\0b", "A=b".encode("utf-16")])
async def test_what_is_no_text_is_refused(text: bytes) -> None:
    assert (await failing(of_text(text))).code == "NotText"


async def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert await variables(of_text(b"\xef\xbb\xbfA=b\n"), "A") == {"A": "b"}


async def test_a_line_that_is_none_is_named_by_its_number_only() -> None:
    refused = await failing(of_text("A=b\nB='canary\n"))
    assert (type(refused), refused.code, "canary" in refused.hint) == (Refused, "NotParsed", False)
    assert "line 2" in refused.hint


async def test_the_version_is_that_of_the_object() -> None:
    assert (await of_text("A=b\n", version="42").read("A")).version == "42"


async def test_an_object_that_is_not_there_is_not_found() -> None:
    assert isinstance(await failing(opened("dotenv", SETTINGS)), NotFound)


async def test_a_file_of_each_environment_is_read(tmp_path: Path) -> None:
    for name in ("production", "staging"):
        (tmp_path / f".env.{name}").write_text(f"STAGE={name}\n")
    read = [
        await variables(
            opened("dotenv", {"path": str(tmp_path / f".env.{name}")}, files_root=tmp_path), "STAGE"
        )
        for name in ("production", "staging")
    ]
    assert read == [{"STAGE": "production"}, {"STAGE": "staging"}]


async def test_a_file_outside_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / ".env").write_text("A=b\n")
    context = opened("dotenv", {"path": str(tmp_path / ".env")}, files_root=tmp_path / "root")
    assert (await failing(context)).code == "OutsideFilesRoot"


def test_a_secret_or_a_config_map_is_asked_for() -> None:
    provider = discover()["dotenv"]
    config = provider.Config.model_validate({"secretRef": {"name": "env", "key": "k"}})
    assert provider.needs(config) == (Reference("Secret", "env", "k"),)


@pytest.mark.parametrize("settings", [{}, {"path": "/x", "secretRef": {"name": "a", "key": "b"}}])
def test_there_is_exactly_one_source(settings: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match="exactly one of path, configMapRef and secretRef"):
        discover()["dotenv"].Config.model_validate(settings)

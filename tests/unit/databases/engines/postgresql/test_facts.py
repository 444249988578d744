from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.databases.engines.postgresql import facts
from keyturn.databases.engines.postgresql.facts import identifier, identifiers, literal, mark_of, marked
from tests.support.cases import case, cases


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("app", '"app"'), ('a"b', '"a""b"'), ("a'b;--", '"a\'b;--"'), ("Ä b", '"Ä b"'), ("a\\", '"a\\"')],
)
def test_a_name_is_quoted(name: str, quoted: str) -> None:
    assert identifier(name) == quoted


def test_names_are_separated_by_commas() -> None:
    assert identifiers("a", 'b"') == '"a", "b"""'


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("", "''"), ("it's", "'it''s'"), ("a\\b", "E'a\\\\b'"), ("\\'", "E'\\\\'''"), ('"', "'\"'")],
)
def test_a_text_is_quoted(text: str, quoted: str) -> None:
    assert literal(text) == quoted


@pytest.mark.parametrize("quote", [identifier, literal])
def test_a_zero_byte_is_refused(quote: type[str]) -> None:
    with pytest.raises(ValueError, match="zero byte"):
        quote("a\0b")


def texts(there: dict[str, facts.Settings]) -> list[str]:
    return [copy.text for copy in facts.copied("app", "app_a", there)]


ROLE = {("", "role"): "app"}
ALTER = 'ALTER ROLE "app_a"'


@cases(
    ("there", "statements"),
    case("acts as the owner", {}, [f"{ALTER} SET \"role\" TO 'app'"]),
    case("nothing to copy", {"app_a": ROLE}, []),
    case("copied", {"app": {("", "work_mem"): "1MB"}, "app_a": ROLE}, [f"{ALTER} SET \"work_mem\" TO '1MB'"]),
    case(
        "in one database",
        {"app": {("shop", "app.tenant"): "it's"}, "app_a": ROLE},
        [f'{ALTER} IN DATABASE "shop" SET "app"."tenant" TO \'it\'\'s\''],
    ),
    case(
        "not the owner's",
        {"app_a": {**ROLE, ("shop", "work_mem"): "1MB"}},
        [f'{ALTER} IN DATABASE "shop" RESET "work_mem"'],
    ),
    case(
        "a list",
        {"app": {("", "search_path"): '"$user", "a,b", "c""d", public'}, "app_a": ROLE},
        [f"{ALTER} SET \"search_path\" TO '$user', 'a,b', 'c\"d', 'public'"],
    ),
    case(
        "an empty list",
        {"app": {("", "temp_tablespaces"): ""}, "app_a": ROLE},
        [f"{ALTER} SET \"temp_tablespaces\" TO ''"],
    ),
    case(
        "the same already",
        {"app": {("", "search_path"): "public"}, "app_a": {**ROLE, ("", "search_path"): "public"}},
        [],
    ),
)
def test_a_login_gets_the_settings_of_its_owner(
    there: dict[str, facts.Settings], statements: list[str]
) -> None:
    assert texts(there) == statements


def test_what_is_shown_has_no_value() -> None:
    (copy,) = facts.copied("app", "app_a", {"app": {("", "app.key"): "confidential"}, "app_a": ROLE})

    assert copy.shown == 'ALTER ROLE "app_a" SET "app"."key" TO <the value of the owner>;'


@given(st.lists(st.text(st.characters(blacklist_characters="\0"), min_size=1), min_size=1, max_size=4))
def test_a_list_is_split_as_the_server_wrote_it(names: list[str]) -> None:
    written = ", ".join(identifier(name) for name in names)
    (copied,) = texts({"app": {("", "search_path"): written}, "app_a": ROLE})

    assert copied == f'{ALTER} SET "search_path" TO {", ".join(literal(name) for name in names)}'


@pytest.mark.parametrize("text", ["a" + " " * 20_000 + '"x', '"' * 20_001])
def test_no_list_of_a_server_takes_long(text: str) -> None:
    """Squares of its length would be minutes."""
    began = time.thread_time()
    texts({"app": {("", "search_path"): text}})

    assert time.thread_time() - began < 1


def test_the_name_of_a_setting_is_short_in_a_message() -> None:
    copy, _ = facts.copied("app", "app_a", {"app": {("", "app." + "x" * 100_000): "1"}})

    assert len(copy.shown) < 500


LINE = "keyturn.dev/managed-secret: cluster/shop/orders"
MARK = "cluster/shop/orders"


@pytest.mark.parametrize(
    ("comment", "mark", "written"),
    [
        ("", MARK, LINE),
        ("team: orders", MARK, f"team: orders\n{LINE}"),
        (f"team: orders\n{LINE}", MARK, f"team: orders\n{LINE}"),
        (LINE, "other/shop/one", "keyturn.dev/managed-secret: other/shop/one"),
        (f"above\n{LINE}\nbelow", "", "above\nbelow"),
        (LINE, "", ""),
    ],
)
def test_a_mark_is_one_line_of_a_comment(comment: str, mark: str, written: str) -> None:
    assert marked(comment, mark) == written
    assert mark_of(written) == mark


def test_a_comment_without_mark_has_none() -> None:
    assert mark_of("managed by keyturn.dev") == ""

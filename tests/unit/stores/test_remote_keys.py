"""Where a key lies in a store: below the store's prefix, however it is spelled."""

from __future__ import annotations

import pytest

from keyturn.stores.providers.errors import Refused
from keyturn.stores.settings import located

OWN = "{namespace}/"


@pytest.mark.parametrize(
    ("key", "prefix", "path"),
    [
        pytest.param("prod/db", None, "prod/db", id="without a prefix"),
        pytest.param("db", OWN, "shop/db", id="below the namespace"),
        pytest.param("db", "prod/{namespace}/x-", "prod/shop/x-db", id="with more around it"),
        pytest.param("db", "{namespace}.", "shop.db", id="with another separator"),
        pytest.param("db", "shared/", "shared/db", id="below one for all"),
        pytest.param("..db", OWN, "shop/..db", id="two dots that begin a name"),
        pytest.param("a b:ü%", None, "a b:ü%", id="anything without a prefix"),
        pytest.param("arn:aws:x:1:secret:db", None, "arn:aws:x:1:secret:db", id="an ARN without a prefix"),
    ],
)
def test_a_key_lies_below_its_prefix(key: str, prefix: str | None, path: str) -> None:
    assert located(key, prefix, "shop") == path


@pytest.mark.parametrize(
    ("key", "prefix", "path"),
    [
        pytest.param("/prod/db", None, "/prod/db", id="a slash before it"),
        pytest.param("prod/db", None, "prod/db", id="none, which is another name"),
        pytest.param("db", "/{namespace}/", "/shop/db", id="below a prefix with a slash before it"),
        pytest.param("db", OWN, "shop/db", id="below one without"),
    ],
)
def test_where_a_slash_is_part_of_a_name_it_stays(key: str, prefix: str | None, path: str) -> None:
    assert located(key, prefix, "shop", rooted=True) == path


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        *((key, None) for key in ("", "/", "//", "//db", "/../db", "/a//b", "/a/", "/./a", "/a/..", "/a\\b")),
        *(("/db", prefix) for prefix in (OWN, "/{namespace}/")),
        *(("db", prefix) for prefix in ("/", "//", "//{namespace}/", "/../{namespace}/", "/{namespace}/../")),
        ("../office/db", "/{namespace}/"),
        ("db", "/{namespace}"),
    ],
)
def test_no_slash_before_a_name_leads_elsewhere(key: str, prefix: str | None) -> None:
    with pytest.raises(Refused, match=r"write a key such as prod/payments|keyPrefix"):
        located(key, prefix, "shop", rooted=True)


@pytest.mark.parametrize("prefix", [None, OWN], ids=["without a prefix", "with a prefix"])
@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/db",
        "db/",
        "a//b",
        ".",
        "..",
        "../office/db",
        "a/../b",
        "a/..",
        "./a",
        "a/.",
        "a\\b",
        "a\0b",
    ],
)
def test_a_key_that_could_lead_elsewhere_is_refused(key: str, prefix: str | None) -> None:
    with pytest.raises(Refused, match="write a key such as prod/payments"):
        located(key, prefix, "shop")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("%2e%2e/office/db", id="quoted dots"),
        pytest.param("..%2foffice%2fdb", id="quoted slashes"),
        pytest.param("..;/office/db", id="dots with a parameter"),
        pytest.param("a?x=office", id="a query"),
        pytest.param("a#office", id="a fragment"),
        pytest.param("\uff0e\uff0e/office", id="full-width dots"),
        pytest.param("..\u2215office", id="a slash that is none"),
        pytest.param(".. /office", id="dots with a space"),
        pytest.param("*", id="a wildcard"),
        pytest.param("a\nb", id="a line break"),
        pytest.param("arn:aws:x:1:secret:db", id="an ARN"),
        pytest.param("db:3", id="a version"),
    ],
)
def test_below_a_prefix_only_plain_characters_are_taken(key: str) -> None:
    with pytest.raises(Refused, match="letters, digits and"):
        located(key, OWN, "shop")


@pytest.mark.parametrize(
    "prefix", ["{namespace}", "{namespace}-", "{namespace}x", "{namespace}0/", "x{namespace}-y/"]
)
def test_a_prefix_that_another_namespace_could_spell_is_refused(prefix: str) -> None:
    # Below "{namespace}-", the key "a-db" of the namespace "team" is the key "db" of "team-a".
    with pytest.raises(Refused, match="keyPrefix"):
        located("db", prefix, "team")


@pytest.mark.parametrize(
    "prefix", ["../{namespace}/", "{namespace}/../", "//", "./", "/", "x//{namespace}/", "/{namespace}/"]
)
def test_a_prefix_that_leads_out_of_itself_is_refused(prefix: str) -> None:
    with pytest.raises(Refused, match="keyPrefix"):
        located("db", prefix, "shop")


def test_a_prefix_needs_a_namespace() -> None:
    with pytest.raises(Refused, match="keyPrefix"):
        located("db", OWN, "")

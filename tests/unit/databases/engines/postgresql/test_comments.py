from __future__ import annotations

import pytest

from keyturn.databases.engines._postgresql.facts import mark_of, marked

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

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core import base64url


@given(st.binary(max_size=64))
def test_what_is_encoded_is_decoded_with_and_without_padding(content: bytes) -> None:
    written = base64url.encode(content)
    padded = written + b"=" * (-len(written) % 4)
    assert base64url.decode(written) == base64url.decode(padded) == content
    assert base64url.decode(written.decode()) == content
    assert not set(written) & set(b"+/=")


@pytest.mark.parametrize("written", ["a", "ä", b"a"])
def test_what_is_no_such_text_is_a_value_error(written: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        base64url.decode(written)

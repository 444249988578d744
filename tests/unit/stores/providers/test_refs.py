import pytest

from keyturn.core.value import Value
from keyturn.stores.providers._refs import credential_text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(b" a b\n", "a b", id="a file's newline"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"a\nb", "", id="two lines"),
        pytest.param(b"a\0", "", id="a NUL"),
        pytest.param("ä".encode(), "", id="no ASCII"),
    ],
)
def test_a_credential_is_printable_text(content: bytes, text: str) -> None:
    assert credential_text(Value(content)) == text

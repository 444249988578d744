from keyturn.core.value import Value
from keyturn.stores.providers._refs import credential_text
from tests.support.cases import case, cases


@cases(
    ("content", "text"),
    case("a file's newline", b" a b\n", "a b"),
    case("nothing", b"", ""),
    case("two lines", b"a\nb", ""),
    case("a NUL", b"a\0", ""),
    case("no ASCII", "ä".encode(), ""),
)
def test_a_credential_is_printable_text(content: bytes, text: str) -> None:
    assert credential_text(Value(content)) == text

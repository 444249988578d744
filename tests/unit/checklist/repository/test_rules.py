"""What detect-secrets knows is found; random values, examples, allowed lines and this repository have nothing."""

from __future__ import annotations

import base64
import random
import string
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from keyturn.checklist.repository.rules import hits, keys_in
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

ALNUM = string.ascii_letters + string.digits
HEX = string.digits + "abcdef"
MANIFEST = "kind: Secret\nstringData:\n"
SIZE = 1024 * 1024

DRAWN = random.Random()  # noqa: S311  # the same texts in each run, of which none has a form by chance


@pytest.fixture(autouse=True)
def _same_texts(request: pytest.FixtureRequest) -> None:
    DRAWN.seed(request.node.name)


def _of(length: int, alphabet: str = ALNUM) -> str:
    return "".join(DRAWN.choice(alphabet) for _ in range(length))


@pytest.mark.parametrize(
    ("prefix", "length", "alphabet"),
    [
        ("ghp_", 36, ALNUM),
        ("npm_", 36, ALNUM),
        ("sk_live_", 24, ALNUM),
        ("sk_live_51", 97, ALNUM),
        ("xoxb-123456789012-123456789012-", 24, string.ascii_lowercase),
        ("SG." + "a1B2c3D4e5F6g7H8i9J0k1.", 43, ALNUM),
        ("SK", 32, HEX),
        ("AKIA", 16, string.ascii_uppercase),
    ],
)
@pytest.mark.parametrize(
    "line", ["{}\n", "  name: {}\n", '{{"name": "{}"}}\n', "    name = '{}'  # of the shop\n"]
)
def test_a_token_of_a_known_form_is_found(prefix: str, length: int, alphabet: str, line: str) -> None:
    token = prefix + _of(length, alphabet)

    (hit,) = hits("a.txt", line.format(token))

    assert hit.secret.reveal().decode() in token


@pytest.mark.parametrize(
    "make",
    [
        lambda: DRAWN.randbytes(32).hex(),
        lambda: base64.urlsafe_b64encode(DRAWN.randbytes(32)).decode().rstrip("="),
        lambda: base64.b64encode(DRAWN.randbytes(64)).decode(),
        lambda: _of(48),
        lambda: str(uuid.UUID(bytes=DRAWN.randbytes(16), version=4)),
    ],
    ids=["hex", "URL-safe base64", "base64", "letters and digits", "UUID"],
)
def test_a_random_value_has_no_form(make: Callable[[], str]) -> None:
    assert not list(hits("a.txt", "".join(f"VALUE={make()}\n" for _ in range(2_000))))


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.py", "key = '{}'  # pragma: allowlist secret\n", 0),
        ("a.go", 'key := "{}" // pragma: allowlist secret\n', 0),
        ("a.yaml", "# pragma: allowlist nextline secret\nkey: {}\n", 0),
        ("a.yaml", "# pragma: allowlist secret\nkey: {}\n", 1),
    ],
)
def test_a_comment_of_detect_secrets_allows_a_line(name: str, text: str, count: int) -> None:
    token = "ghp_" + _of(36)

    assert len(list(hits(name, text.format(token)))) == count


def test_no_text_of_the_operator_has_a_form() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "operator", "charts", "manifests"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    texts = {str(path): path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file()}

    assert len(texts) > 300
    assert [(name, hit.rule, hit.line) for name, text in texts.items() for hit in hits(name, text)] == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "keys"),
    [
        pytest.param(f"{MANIFEST}  k: '{'{{' * (SIZE // 2)}'\n", {"k"}, id="open braces"),
        pytest.param(f"{MANIFEST}  k: '{'${a' * (SIZE // 3)}'\n", {"k"}, id="open variables"),
        pytest.param(f"{MANIFEST}  k: '{' ' * (SIZE // 2)}{'<' * (SIZE // 2)}'\n", {"k"}, id="open guides"),
        pytest.param(
            f"a: &a '{'{{' * (SIZE // 4)}'\n{MANIFEST}"
            + "".join(f"  k{number}: *a\n" for number in range(30_000)),
            {f"k{number}" for number in range(30_000)},
            id="aliases of a value",
        ),
        pytest.param(
            f"a: &a {{{','.join(f'k{number}: v' for number in range(30_000))}}}\nkind: Secret\nb:\n"
            + "- {<<: *a}\n" * (SIZE // 22),
            set(),
            id="merges",
        ),
    ],
)
def test_no_manifest_takes_long(text: str, keys: set[str]) -> None:
    assert keys_in("a.yaml", text) == keys

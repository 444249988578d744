"""Where values come from: hints, names, and what neither can tell."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from keyturn import generators
from keyturn.api.base import Recipe
from keyturn.offline.dotenv.declaration import (
    SHIPPED,
    Composed,
    Copied,
    IssuedElsewhere,
    Made,
    Output,
    Source,
    declared_in,
)
from keyturn.offline.dotenv.document import Document
from keyturn.offline.dotenv.files import Refused
from tests.conftest import ROOT


def sources(text: str) -> Mapping[str, Source]:
    declaration = declared_in(Document.read(".env.example", text.encode()))
    return {variable.name: variable.source for variable in declaration.variables}


def how(text: str, name: str) -> str:
    """Say in a word or a recipe where a variable comes from."""
    match sources(text)[name]:
        case Made() as made:
            return str(made)
        case IssuedElsewhere():
            return "given"
        case Copied():
            return "copied"
        case Composed():
            return "composed"
        case Output():
            return "output"


def refusal(text: str) -> str:
    with pytest.raises(Refused) as refused:
        declared_in(Document.read(".env.example", text.encode()))
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "desired"),
    [
        ("JWT_SECRET=", "bytes length=32 encoding=base64"),
        ("JWT_EXPIRES_IN=15m", "copied"),
        ("JWT_PUBLIC_KEY=", "copied"),
        ("JWT_PRIVATE_KEY=", "given"),
        ("TWOFA_ENCRYPTION_KEY=", "bytes length=32 encoding=base64"),
        ("SECRET_KEY_BASE=", "bytes length=64 encoding=hex"),
        ("APP_SECRET=", "bytes length=32 encoding=base64"),
        ("POSTGRES_PASSWORD=postgres", "password length=40"),
        ("PGPASSWORD=", "password length=40"),
        ("ADMIN_PASSWORD=", "password length=32"),
        ("REDIS_PASSWORD=", "bytes length=24 encoding=base64"),
        ("REDIS_PASSWORD=\nREDIS_URL=redis://:${REDIS_PASSWORD}@redis", "bytes length=24 encoding=base64url"),
        ("REDIS_PASSWORD=\nREDIS_ARGS=--requirepass ${REDIS_PASSWORD}", "bytes length=24 encoding=base64"),
        ("API_KEY=", "bytes length=32 encoding=base64url"),
        ("INTERNAL_API_TOKEN=", "bytes length=32 encoding=base64url"),
        ("STRIPE_SECRET_KEY=sk_test_…", "given"),
        ("SMTP_PASSWORD=", "given"),
        ("OIDC_CLIENT_SECRET=", "given"),
        ("NEXT_PUBLIC_API_KEY=pk", "copied"),
        ("CACHE_KEY=shop", "copied"),
        ("TLS_KEY=/etc/ssl/tls.key", "copied"),
        ("USE_TOKEN=true", "copied"),
        ("PWD=", "copied"),
        ("PORT=3000", "copied"),
        ("DATABASE_URL=postgresql://shop:secret@db/shop", "given"),
        ("DATABASE_URL=postgresql://shop@db/shop", "copied"),
    ],
    ids=lambda text: text.partition("\n")[0],
)
def test_a_name_reports_where_a_value_comes_from(line: str, desired: str) -> None:
    name = line.partition("=")[0]
    assert how(f"{line}\n", name) == desired


def test_what_reads_a_secret_is_composed_also_by_way_of_another() -> None:
    text = "HOST=db\nPASSWORD=\nUSERINFO=shop:${PASSWORD}\nURL=pg://${USERINFO}@${HOST}\nPLAIN=${HOST}:1\n"

    found = sources(text)

    assert [name for name, source in found.items() if isinstance(source, Composed)] == ["USERINFO", "URL"]
    assert isinstance(found["PLAIN"], Copied)


@pytest.mark.parametrize(
    ("hint", "desired"),
    [
        ("bytes length=48 encoding=hex", Made("bytes", {"length": 48, "encoding": "hex"})),
        ("password length=40 symbols=false", Made("password", {"length": 40, "symbols": False})),
        ("password symbolCharacters='!? '", Made("password", {"symbolCharacters": "!? "})),
        ("uuid", Made("uuid")),
        ("ecKey curve=P-384 publicKey=OTHER", Made("ecKey", {"curve": "P-384"}, {"publicKey": "OTHER"})),
        (
            "certificate commonName=shop dnsNames='[a.test, b.test]' issuer='{selfSigned: {}}'",
            Made(
                "certificate",
                {"commonName": "shop", "dnsNames": ["a.test", "b.test"], "issuer": {"selfSigned": {}}},
            ),
        ),
        (
            "dockerConfig registry=r.test username=ci passwordFrom='{name: OTHER}'",
            Made("dockerConfig", {"registry": "r.test", "username": "ci", "passwordFrom": {"name": "OTHER"}}),
        ),
        ("class=database-password", Made("password", {"length": 40}, class_name="database-password")),
        ("given", IssuedElsewhere()),
        ("keep", Copied()),
    ],
    ids=lambda hint: hint if isinstance(hint, str) else "",
)
def test_a_hint_says_where_a_value_comes_from(hint: str, desired: Source) -> None:
    assert sources(f"OTHER=x\n# keyturn: {hint}\nPLAIN=text\n")["PLAIN"] == desired


@pytest.mark.parametrize(
    "text",
    [
        "# keyturn: uuid\nA=\n",
        "# keyturn: uuid\n# It names this installation.\nA=\n",
        "#keyturn:uuid\nA=\n",
        "A= # keyturn: uuid\n",
        "A=x # keyturn: uuid\n",
        "export A='x' # keyturn: uuid\r\n",
    ],
    ids=["above", "higher above", "without blanks", "beside", "beside a value", "beside a quoted one"],
)
def test_a_hint_stands_above_or_beside_its_variable(text: str) -> None:
    assert sources(text)["A"] == Made("uuid")


@pytest.mark.parametrize(
    "text",
    ["# keyturn: uuid\n\nA=\n", "# keyturn: uuid\nB=\nA=\n", "A=\n# keyturn: uuid\n"],
    ids=["a blank line between", "another variable between", "below"],
)
def test_a_hint_elsewhere_is_about_something_else(text: str) -> None:
    assert sources(text)["A"] == Copied()


@pytest.mark.parametrize(
    "text",
    [
        "# keyturn:\nA=\n",
        "# keyturn: bytes 32\nA=\n",
        "# keyturn: password x='\nA=\n",
        "# keyturn: class=gold\nA=\n",
        "# keyturn: uuid\nA= # keyturn: given\n",
        "# keyturn: certificate dnsNames=[a\nA=\n",
        "# keyturn: certificate dnsNames=[2026-13-45]\nA=\n",
        "A=\nA=\n",
        "URL=pg://${A}\nA=\n",
    ],
    ids=[
        *("empty", "no setting", "open quote", "unknown class", "two", "open list", "no date", "twice"),
        "order",
    ],
)
def test_an_example_that_cannot_be_followed_is_refused_with_the_place(text: str) -> None:
    assert re.search(r"lines? \d", refusal(text))


def test_the_shipped_classes_make_what_their_manifests_say() -> None:
    found: dict[str, Any] = {}
    for path in (ROOT / "manifests" / "classes").glob("*-*.yaml"):
        body = yaml.safe_load(path.read_text())
        found[body["metadata"]["name"]] = body["spec"]["generate"]

    assert found == {name: {made.kind: dict(made.settings)} for name, made in SHIPPED.items()}


@pytest.mark.parametrize(
    "name", ["JWT_SECRET", "SECRET_KEY_BASE", "DB_PASSWORD", "PASSWORD", "REDIS_PASSWORD", "API_KEY"]
)
def test_what_a_name_reports_reaches_the_floor(name: str) -> None:
    made = sources(f"{name}=\nURL=x://${{{name}}}\n")[name]
    assert isinstance(made, Made)

    strength = generators.make(Recipe({made.kind: dict(made.settings)})).strength()

    assert strength is not None
    assert strength.is_enough

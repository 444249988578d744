import pytest

from keyturn.databases.base import Answer
from keyturn.databases.engines.postgresql import codes
from keyturn.databases.engines.postgresql.statements import About, Statement
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Denied,
    Missing,
    ReadOnly,
    RefusedByPolicy,
    Unreachable,
)

ROLE = Statement("ALTER ROLE", "GRANT x;")
PASSWORD = Statement("ALTER ROLE", "GRANT x;", About.PASSWORD)


@pytest.mark.parametrize(
    ("state", "statement", "kind", "code"),
    [
        ("42501", ROLE, Denied, "AdminDenied"),
        ("42501", PASSWORD, Denied, "AdminDenied"),
        ("55P03", ROLE, Busy, "Busy"),
        ("XX000", ROLE, DatabaseError, "InternalError"),
        ("XX000", PASSWORD, DatabaseError, "InternalError"),
        ("XX001", PASSWORD, DatabaseError, "InternalError"),
        ("40001", ROLE, Busy, "Busy"),
        ("40P01", ROLE, Busy, "Busy"),
        ("25006", ROLE, ReadOnly, "ReadOnly"),
        ("53100", PASSWORD, ReadOnly, "ReadOnly"),
        ("25P03", ROLE, Unreachable, "SessionEnded"),
        ("57014", ROLE, Unreachable, "Timeout"),
        ("57P01", ROLE, Unreachable, "State57P01"),
        ("42704", PASSWORD, Missing, "AccountMissing"),
        ("3F000", ROLE, Missing, "SchemaMissing"),
        ("22023", PASSWORD, RefusedByPolicy, "VerifierRefused"),
        ("P0001", PASSWORD, RefusedByPolicy, "VerifierRefused"),
        ("22023", ROLE, DatabaseError, "State22023"),
        ("42601", None, DatabaseError, "State42601"),
    ],
)
def test_a_code_has_a_meaning(
    state: str, statement: Statement | None, kind: type[DatabaseError], code: str
) -> None:
    error = codes.meaning_of(state, statement)

    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("state", "reason", "is_silence"),
    [
        ("28000", "NotAdmitted", False),
        ("3D000", "DatabaseMissing", False),
        ("42501", "ConnectDenied", False),
        ("55000", "State55000", False),
        ("53300", "TooManyConnections", True),
        ("57P01", "ShuttingDown", True),
        ("57P03", "StartingUp", True),
        ("08P01", "State08P01", True),
        ("58030", "State58030", True),
    ],
)
def test_a_server_that_admits_no_login_has_answered_unless_it_is_not_able_now(
    state: str, reason: str, *, is_silence: bool
) -> None:
    failure = codes.failure_of("db:5432", f'connection to "x" failed: FATAL:  {state}\n', was_asked=False)
    verdict = codes.refusal_of(failure)

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, reason, is_silence)


@pytest.mark.parametrize(
    ("was_accepted", "answer", "reason"),
    [(False, Answer.REFUSED, "ByPooler"), (True, Answer.UNKNOWN, "NoServerBehind")],
    ids=["its password", "its server"],
)
def test_a_pooler_refuses_a_password_only_before_it_accepts_it(
    answer: Answer, reason: str, *, was_accepted: bool
) -> None:
    text = 'connection to "x" failed: FATAL:  08P01\n'
    verdict = codes.refusal_of(codes.failure_of("db:5432", text, was_asked=True, was_accepted=was_accepted))

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (answer, reason, False)


def test_a_limit_of_one_login_is_no_silence_of_the_server() -> None:
    failure = codes.failure_of("db:5432", 'connection to "x" failed: FATAL:  53300\n', was_asked=True)
    verdict = codes.refusal_of(failure)

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (
        Answer.UNKNOWN,
        "TooManyConnections",
        False,
    )
    assert "at db:5432 has no free connection; raise CONNECTION LIMIT" in verdict.message


@pytest.mark.parametrize(
    ("text", "reason", "is_silence"),
    [
        ('authentication method requirement "scram-sha-256" failed', "NoScram", False),
        ("SSL error: certificate verify failed", "CertificateNotTrusted", True),
        (
            'could not read root certificate file "/proc/self/fd/7": no certificate or crl found',
            "CertificateAuthorityUnreadable",
            True,
        ),
        (
            "SSL error\nThis may indicate that the server does not support any SSL protocol version between",
            "TlsFailed",
            True,
        ),
        ("SSL error: ssl/tls alert handshake failure", "TlsFailed", True),
        ("SSL error: unexpected eof while reading", "NoAnswer", True),
        ("server does not support SSL, but SSL was required", "NoTls", True),
        ("Connection refused", "ConnectionRefused", True),
        ("something else", "NoAnswer", True),
    ],
)
def test_a_connection_that_fails_is_silence(text: str, reason: str, *, is_silence: bool) -> None:
    verdict = codes.refusal_of(codes.failure_of("db:5432", text, was_asked=False))

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, reason, is_silence)


def test_a_denied_statement_names_the_grant() -> None:
    error = codes.meaning_of("42501", ROLE)

    assert isinstance(error, Denied)
    assert error.statement == "GRANT x;"
    assert "GRANT x;" in error.message


def test_every_sentence_names_the_host_where_it_has_one() -> None:
    failure = codes.failure_of(
        "db.shop.svc:5432", 'connection to "x" failed: FATAL:  53300\n', was_asked=True
    )

    assert failure.message == "db.shop.svc:5432 accepts no more connections"

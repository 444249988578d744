"""Changes of roles, as PostgreSQL logs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.databases.evidence import Pair
from tests.databases.server_log import STRANGER, Recogniser, ServerLog, of_each_account, read_lines

if TYPE_CHECKING:
    from pathlib import Path

_VALUES = {"one": "first-password", "two": "second-password"}
_VERIFIER = (
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$OCm/rq9VgUCGQhqjMmLjrPN9+DWUDV4VB9g4mwLCzM0=:"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)
ONE = Pair("app_a", "one")


def _read(folder: Path, *messages: str, pid: int = 7, application: str = "app") -> ServerLog:
    path = folder / "server.log"
    lines = (f"{place}.000|{pid}|{application}|{text}\n" for place, text in enumerate(messages, 1))
    path.write_text("".join(lines))
    return ServerLog(read_lines(path), Recogniser(_VALUES), {"app_a"})


def _sent(text: str) -> str:
    return f"LOG:  statement: {text}"


_OPEN = _sent("ALTER ROLE \"app_a\" LOGIN PASSWORD 'first-password'")


def test_a_statement_alone_is_a_transaction(tmp_path: Path) -> None:
    (change,) = _read(tmp_path, _OPEN).changes

    assert (change.login, change.before, change.after) == ("app_a", None, ONE)
    assert (change.opened, change.began, change.ended) == (1.0, 1.0, 1.0)


def test_a_change_of_another_administrator_is_told_by_its_application(tmp_path: Path) -> None:
    made = [
        _read(tmp_path, _OPEN, application=name).changes[0].is_foreign for name in ("keyturn bring", STRANGER)
    ]

    assert made == [False, True]


def test_a_transaction_changes_a_role_when_it_commits(tmp_path: Path) -> None:
    (change,) = _read(tmp_path, _sent("BEGIN"), _OPEN, _sent("COMMIT")).changes

    assert (change.opened, change.began, change.ended) == (1.0, 2.0, 3.0)


def test_what_is_rolled_back_changes_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path, _sent("BEGIN"), _OPEN, _sent("ROLLBACK")).changes == []


def test_what_is_never_committed_changes_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path, _sent("BEGIN"), _OPEN, "LOG:  disconnection: session time").changes == []


def test_a_failed_statement_changes_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path, _OPEN, "ERROR:  permission denied").changes == []


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    sent = (_sent("BEGIN"), _OPEN, _sent("SELECT 1/0"), "ERROR:  division by zero", _sent("COMMIT"))

    assert _read(tmp_path, *sent).changes == []


def test_a_login_without_a_password_is_half_closed(tmp_path: Path) -> None:
    halves = [one.is_half for one in _read(tmp_path, _OPEN, _sent("ALTER ROLE app_a NOLOGIN")).changes]

    assert halves == [False, True]


def test_a_closed_role_has_neither(tmp_path: Path) -> None:
    last = _read(tmp_path, _OPEN, _sent("ALTER ROLE app_a NOLOGIN PASSWORD NULL")).changes[-1]

    assert (last.before, last.after, last.is_half) == (ONE, None, False)


def test_a_setting_of_a_role_is_no_change_of_its_login(tmp_path: Path) -> None:
    last = _read(tmp_path, _OPEN, _sent("ALTER ROLE app_a SET role = 'NOLOGIN'")).changes[-1]

    assert (last.before, last.after) == (ONE, ONE)


def test_a_statement_of_several_lines_is_read_whole(tmp_path: Path) -> None:
    (change,) = _read(tmp_path, _sent("ALTER ROLE app_a\n\tLOGIN\n\tPASSWORD 'second-password'")).changes

    assert change.after == Pair("app_a", "two")


def test_each_of_many_passwords_is_recognised_wherever_the_last_one_was() -> None:
    recogniser = Recogniser({str(number): f"password-{number}" for number in range(5)})

    assert [recogniser.name_of(f"password-{number}") for number in (3, 0, 4, 3, 1)] == [
        "3",
        "0",
        "4",
        "3",
        "1",
    ]


def test_an_unknown_password_has_a_name_of_its_own(tmp_path: Path) -> None:
    (change,) = _read(tmp_path, _sent(f"ALTER ROLE app_a LOGIN PASSWORD '{_VERIFIER}'")).changes

    assert change.after is not None
    assert change.after.digest.startswith("unknown-")


def test_a_login_is_read_with_its_application(tmp_path: Path) -> None:
    text = (
        "LOG:  connection authorized: user=app_a database=shop application_name=keyturn prove SSL enabled (x)"
    )
    (login,) = _read(tmp_path, text).logins

    assert (login.login, login.application) == ("app_a", "keyturn prove")


def test_a_log_of_several_accounts_is_split_by_the_sessions_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    received = "LOG:  connection received: host=127.0.0.1"
    sessions = (
        (7, received),
        (8, received),
        (7, _sent("BEGIN")),
        (8, _sent('ALTER ROLE "app_b" NOLOGIN PASSWORD NULL')),
        (7, _OPEN),
        (9, _sent("SELECT 1")),
        (8, "LOG:  disconnection: session time"),
        (8, received),
        (8, "LOG:  execute <unnamed>: SELECT $1"),
        (8, "DETAIL:  Parameters: $1 = 'app_a'"),
        (7, _sent("COMMIT")),
    )
    path.write_text("".join(f"{place}.0|{pid}|app|{text}\n" for place, (pid, text) in enumerate(sessions)))

    of_a, of_b = of_each_account(read_lines(path), [{"app_a"}, {"app_b", "app"}])

    assert [line.at for line in of_a] == [0, 2, 4, 7, 8, 9, 10]
    assert [line.at for line in of_b] == [1, 3, 6]

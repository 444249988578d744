"""Reads PostgreSQL's log: which transaction changed which role, and who logged in when."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from tests.databases.evidence import Change, Pair

PREFIX = "%n|%p|%a|"
SETTINGS: Mapping[str, str] = {
    "log_line_prefix": PREFIX,
    "log_statement": "all",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_min_error_statement": "error",
    "lc_messages": "C",
}
"""What a server must be set to for its log to be read here."""
STRANGER = "stranger"
"""The application_name of changes that another administrator than the operator makes."""
_LINE = re.compile(r"^(\d+\.\d+)\|(\d+)\|([^|]*)\|(\w+):  (.*)$")
_STATEMENT = re.compile(r"^(?:statement|execute [^:]*): (.*)$", re.DOTALL)
_AUTHORIZED = re.compile(r"^connection authorized: user=(\S+) .*?(?:application_name=(.*?))?(?: SSL| GSS|$)")
_BEGINS = "connection received"
"""What the first message of a session begins with."""
_ROLE = re.compile(
    r"\b(CREATE|ALTER|DROP)\s+(ROLE|USER)\s+(?:IF\s+EXISTS\s+)?(?:\"((?:[^\"]|\"\")+)\"|(\w+))([^;]*)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"\bPASSWORD\s+(?:(NULL)|\s*E?'((?:[^']|'')*)')", re.IGNORECASE)
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_CAN_LOGIN = re.compile(r"\b(NO)?LOGIN\b", re.IGNORECASE)
_IS_SETTING = re.compile(r"^\s*(?:IN\s+DATABASE\s+\S+\s+)?(?:SET|RESET|RENAME)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """One message, with the lines that continue it."""

    at: float
    pid: int
    application: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A login that the server accepted."""

    at: float
    login: str
    application: str


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the messages of a log, oldest first; what was logged with another prefix is left out."""
    kept: tuple[str, ...] = ()
    text: list[str] = []
    with path.open(errors="replace", newline="\n") as log:
        for raw in log:
            if raw.startswith("\t"):
                text.append(raw[1:].rstrip("\n"))
                continue
            if kept:
                yield _line(kept, text)
            found = _LINE.match(raw)
            kept, text = (found.groups()[:4], [found[5]]) if found else ((), [])
    if kept:
        yield _line(kept, text)


def _line(kept: tuple[str, ...], text: list[str]) -> Line:
    at, pid, application, level = kept
    return Line(float(at), int(pid), application, level, "\n".join(text))


def of_each_account(lines: Iterable[Line], accounts: Sequence[Collection[str]]) -> list[list[Line]]:
    """Return the messages of each account, given by its logins, in their order: of every session that names one.

    A long log of many accounts is read once, and not once for each of them.
    """
    owners = {login: number for number, logins in enumerate(accounts) for login in logins}
    named = re.compile(rf"\b(?:{'|'.join(map(re.escape, owners))})\b")
    found: list[list[tuple[int, Line]]] = [[] for _ in accounts]
    sessions: dict[int, _Messages] = {}
    for place, line in enumerate(lines):
        if line.text.startswith(_BEGINS) and (before := sessions.pop(line.pid, None)):
            before.hand_out(found)
        session = sessions.setdefault(line.pid, _Messages())
        session.lines.append((place, line))
        session.accounts |= {owners[name] for name in named.findall(line.text)}
    for session in sessions.values():
        session.hand_out(found)
    return [[line for _, line in sorted(one, key=itemgetter(0))] for one in found]


@dataclass(slots=True)
class _Messages:
    """The messages of one session, with their places in the log, and the accounts that they name."""

    lines: list[tuple[int, Line]] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)

    def hand_out(self, found: Sequence[list[tuple[int, Line]]]) -> None:
        for number in self.accounts:
            found[number] += self.lines


@dataclass(slots=True)
class _Role:
    can_login: bool = False
    password: str = ""
    """A verifier, or what was sent instead of one."""


@dataclass(slots=True)
class _Session:
    """What one server process has sent and not committed."""

    opened: float | None = None
    """Since when it is in a transaction of its own."""
    sent: list[tuple[float, re.Match[str]]] = field(default_factory=list)
    has_failed: bool = False
    is_of_stranger: bool = False


class ServerLog:
    """The changes of roles and the logins in one log."""

    def __init__(self, lines: Iterable[Line], recogniser: Recogniser, logins: Collection[str]) -> None:
        """Take the logins of one account, and what knows its passwords."""
        self._logins = logins
        self.changes: list[Change] = []
        self.logins: list[LoggedIn] = []
        self._recogniser = recogniser
        self._roles: dict[str, _Role] = {}
        self._sessions: dict[int, _Session] = {}
        for line in lines:
            self._read(line)
        for session in self._sessions.values():
            if session.opened is None:
                self._commit(session, session.sent[-1][0] if session.sent else 0.0)

    def _read(self, line: Line) -> None:
        session = self._sessions.setdefault(line.pid, _Session())
        if line.level in {"ERROR", "FATAL", "PANIC"}:
            session.has_failed = True
            if session.opened is None:
                session.sent.clear()
            return
        if line.level != "LOG":
            return
        if session.opened is None and session.sent:
            self._commit(session, session.sent[-1][0])  # the statement before was a transaction of its own
        if found := _AUTHORIZED.match(line.text):
            self._sessions[line.pid] = _Session()
            self.logins.append(LoggedIn(line.at, found[1], found[2] or ""))
        elif line.text.startswith("disconnection"):
            del self._sessions[line.pid]
        elif found := _STATEMENT.match(line.text):
            session.is_of_stranger = line.application == STRANGER
            self._run(session, line.at, found[1])

    def _run(self, session: _Session, at: float, statement: str) -> None:
        word = statement.strip().rstrip(";").upper()
        if word.startswith(("BEGIN", "START TRANSACTION")):
            session.opened, session.has_failed = at, False
            session.sent.clear()
        elif word.startswith(("COMMIT", "END")):
            if not session.has_failed:
                self._commit(session, at)
            session.opened, session.has_failed = None, False
            session.sent.clear()
        elif word.startswith("ROLLBACK") and " TO " not in word:
            session.opened, session.has_failed = None, False
            session.sent.clear()
        else:
            found = ((at, one) for one in _ROLE.finditer(statement))
            session.sent += [(sent, one) for sent, one in found if _name(one) in self._logins]

    def _commit(self, session: _Session, at: float) -> None:
        first: dict[str, float] = {}
        before: dict[str, Pair | None] = {}
        for sent, statement in session.sent:
            name = _name(statement)
            first.setdefault(name, sent)
            before.setdefault(name, self._pair(name))
            self._apply(name, statement)
        for name, began in first.items():
            role = self._roles.get(name, _Role())
            is_half = role.can_login is not bool(role.password)
            opened = session.opened if session.opened is not None else began
            after, is_foreign = self._pair(name), session.is_of_stranger
            self.changes.append(Change(opened, began, at, name, before[name], after, is_half, is_foreign))
        session.sent.clear()

    def _apply(self, name: str, statement: re.Match[str]) -> None:
        verb, kind, clauses = statement[1].upper(), statement[2].upper(), statement[5]
        if verb == "DROP":
            self._roles.pop(name, None)
            return
        if verb == "CREATE":
            self._roles[name] = _Role(can_login=kind == "USER")
        if _IS_SETTING.match(clauses):
            return
        role = self._roles.setdefault(name, _Role())
        if found := _PASSWORD.search(clauses):
            role.password = "" if found[1] else found[2].replace("''", "'")
        for found in _CAN_LOGIN.finditer(_LITERAL.sub("", clauses)):
            role.can_login = found[1] is None

    def _pair(self, name: str) -> Pair | None:
        role = self._roles.get(name)
        if role is None or not (role.can_login and role.password):
            return None
        return Pair(name, self._recogniser.name_of(role.password))


class Recogniser:
    """Names the known password that a verifier is of, by its digest; each password that is tried takes milliseconds.

    Passwords are known in the order in which they were first used, and so are verifiers: the last hit is near.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._known: dict[str, str] = {}
        self._last = 0

    def name_of(self, verifier: str) -> str:
        if verifier not in self._known:
            self._known[verifier] = self._search(verifier)
        return self._known[verifier]

    def _search(self, verifier: str) -> str:
        digests = list(self._values)
        for place in sorted(range(len(digests)), key=lambda place: abs(place - self._last)):
            if _is_of(verifier, self._values[digests[place]]):
                self._last = place
                return digests[place]
        return f"unknown-{hashlib.sha256(verifier.encode()).hexdigest()[:8]}"


def _name(statement: re.Match[str]) -> str:
    return (statement[3] or "").replace('""', '"') or (statement[4] or "").lower()


def _is_of(verifier: str, value: str) -> bool:
    """Say whether a SCRAM verifier, or what was sent instead of one, is of a password."""
    if verifier == value:
        return True
    kind, _, rest = verifier.partition("$")
    if kind != "SCRAM-SHA-256":
        return False
    iterations, salt, keys = re.split(r"[:$]", rest, maxsplit=2)
    salted = hashlib.pbkdf2_hmac("sha256", value.encode(), base64.b64decode(salt), int(iterations))
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    return hmac.compare_digest(base64.b64encode(stored).decode(), keys.partition(":")[0])

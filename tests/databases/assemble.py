"""Makes one body of evidence of a journal, the server's log and what is known of the operator's writes."""

from collections.abc import Iterable, Mapping, Sequence

from tests.databases.evidence import Evidence, Pair, Roles
from tests.databases.journal import Journal
from tests.databases.server_log import Line, Recogniser, ServerLog, of_each_account
from tests.leaks.scan import leaks

_RECORDER = "recorder"
"""The application_name of logins that the recorder does itself."""


def assemble(journal: Journal, lines: Iterable[Line], places: Mapping[str, bytes] | None = None) -> Evidence:
    """Return the evidence about one account; `places` are texts in which no value belongs."""
    recogniser, logins = Recogniser(journal.values), journal.logins
    log = ServerLog(lines, recogniser, logins)
    return Evidence(
        attempts=sorted(journal.attempts, key=lambda one: one.began),
        records=sorted(journal.records, key=lambda one: one.at),
        publications=sorted(journal.publications, key=lambda one: one.at),
        runs=journal.runs,
        restarts=sorted(journal.restarts, key=lambda one: one.at),
        changes=sorted((one for one in log.changes if one.login in logins), key=lambda one: one.ended),
        roles=[
            Roles(at, frozenset(Pair(name, recogniser.name_of(verifier)) for name, verifier in rows))
            for at, rows in journal.catalogue
        ],
        proofs=[
            (one.at, one.login) for one in log.logins if one.login in logins and one.application != _RECORDER
        ],
        leaks=sorted(leaks([value.encode() for value in journal.values.values()], places or {})),
    )


def assemble_each(journals: Sequence[Journal], lines: Iterable[Line]) -> list[Evidence]:
    """Return the evidence about each of many accounts of one server, whose log is read once."""
    own = of_each_account(lines, [journal.logins for journal in journals])
    return [assemble(journal, of_account) for journal, of_account in zip(journals, own, strict=True)]

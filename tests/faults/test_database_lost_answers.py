"""The answer of a database server is lost: the operator does not know whether it has its change, and repeats it.

The connection is reset when the server has executed a statement and sends the answer. After a COMMIT it has the
change, and after a statement before that it has none.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.databases.evidence import Answer
from tests.databases.server_log import Line, read_lines
from tests.faults.apiserver import Cluster
from tests.faults.database_namespace import WiredShop
from tests.faults.database_play import play
from tests.support.soak import some

pytestmark = pytest.mark.timeout(300)
_PORT = re.compile(r"connection received: host=\S+ port=(\d+)")
_PATIENCE = 120.0


@dataclass
class Answers:
    """The answers to one statement of the sessions that change an account, in their order."""

    log: Path
    statement: str
    """What the statement begins with."""
    lost: frozenset[int]
    """Which of these sessions get no answer: 0 is the first one."""
    cut: list[int] = field(default_factory=list)
    """The ports of those that got none."""
    _before: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self._before = frozenset(self._ports())

    def is_lost(self, port: int) -> bool:
        """Say whether the server is about to answer the statement, and the answer is lost."""
        sent = [one for one in self._ports() if one not in self._before]
        is_lost = port in sent and sent.index(port) in self.lost and port not in self.cut
        if is_lost:
            self.cut.append(port)
        return is_lost

    def _ports(self) -> Iterator[int]:
        """Yield the client's port of each session that has sent the statement: the log has it before its answer."""
        ports: dict[int, int] = {}
        sent: set[int] = set()
        for line in read_lines(self.log):
            if found := _PORT.match(line.text):
                ports[line.pid] = int(found[1])
                sent.discard(line.pid)
            elif self._is_sent_by(line) and line.pid not in sent:
                sent.add(line.pid)
                yield ports[line.pid]

    def _is_sent_by(self, line: Line) -> bool:
        _, _, statement = line.text.partition(": ")
        return line.application == "keyturn bring" and statement.startswith(self.statement)


@pytest.mark.parametrize("statement", some(["COMMIT", "ALTER ROLE"], 0))
def test_a_rotation_loses_the_answers_to_both_of_its_changes(
    statement: str, cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    with WiredShop() as shop, play(cluster, shop, accounts("database-answers"), tmp_path) as place:
        answers = Answers(shop.server.log, statement, frozenset({0, 2}))
        shop.wire.lose_answers(answers.is_lost)
        place.account.space.trigger("leaver")
        place.account.wait_for(2, _PATIENCE)

        assert len(answers.cut) == 2
        assert place.account.login() is Answer.ACCEPTED
        assert place.violations() == []

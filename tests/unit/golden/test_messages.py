"""What users read is what tests/unit/golden/messages.txt has; `python -m tests.unit.golden.messages` writes it."""

from keyturn.core.policy.checklist import POINTS
from keyturn.core.reasons import WorkloadReason
from tests.unit.golden import messages


def test_the_sentences_are_those_that_were_reviewed() -> None:
    assert messages.text().splitlines() == messages.FILE.read_text().splitlines()


def test_every_reason_and_every_rule_is_among_them() -> None:
    codes = {line.partition(": ")[0].rpartition(" ")[2] for line in messages.sentences()}
    assert {*WorkloadReason, *POINTS} - codes == set()

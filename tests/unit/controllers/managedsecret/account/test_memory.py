"""What the process remembers of a database account between passes."""

import asyncio

import pytest

from keyturn.controllers.context import BackgroundJob
from keyturn.controllers.managedsecret.account.memory import AccountMemory, ServerBreaker
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from tests.unit.core.builders import NOW, minutes, seconds

KEY = ObjectKey("shop", "db")
SILENT = Wait("DatabaseUnreachable", "the server does not answer", seconds(5))


@pytest.fixture
def memory() -> AccountMemory:
    return AccountMemory()


def facts(memory: AccountMemory, after: float = 0) -> AccountFacts:
    return memory.of(KEY).facts(NOW + minutes(after))


def test_nothing_is_known_at_first(memory: AccountMemory) -> None:
    assert facts(memory) == AccountFacts()


def test_a_locked_login_is_one_until_the_server_says_otherwise(memory: AccountMemory) -> None:
    memory.of(KEY).judge(1, ProbeVerdict.LOCKED, NOW)
    memory.of(KEY).judge(1, ProbeVerdict.UNREACHABLE, NOW)
    assert facts(memory).locked
    memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)
    assert not facts(memory).locked


def test_another_login_is_not_known_as_locked(memory: AccountMemory) -> None:
    memory.of(KEY).judge(1, ProbeVerdict.LOCKED, NOW)
    memory.of(KEY).plan_probe(2, NOW)
    assert not facts(memory).locked


def test_failures_are_retried_with_a_back_off_of_at_most_five_minutes(memory: AccountMemory) -> None:
    pauses = []
    for _ in range(9):
        memory.of(KEY).fail(SILENT, NOW)
        again = facts(memory).again
        pauses.append((again - NOW).total_seconds() if again else None)

    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_what_needs_a_person_is_retried_after_a_minute(memory: AccountMemory) -> None:
    memory.of(KEY).fail(Stalled("AccountMissing", "create it"), NOW)

    assert facts(memory).again == NOW + minutes(1)


def test_a_success_ends_the_back_off(memory: AccountMemory) -> None:
    memory.of(KEY).fail(SILENT, NOW)
    memory.of(KEY).fail(SILENT, NOW)
    memory.of(KEY).attempts = None
    assert facts(memory) == AccountFacts()

    memory.of(KEY).fail(SILENT, NOW)
    assert facts(memory).again == NOW + seconds(5)


def test_a_login_that_is_accepted_ends_a_failed_repair(memory: AccountMemory) -> None:
    memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW)
    memory.of(KEY).fail(SILENT, NOW, of_repair=True)

    assert memory.of(KEY).judge(1, ProbeVerdict.ACCEPTED, NOW)

    assert facts(memory) == AccountFacts(verdict=ProbeVerdict.ACCEPTED, probed_at=NOW)
    memory.of(KEY).fail(SILENT, NOW)
    assert facts(memory).again == NOW + seconds(5)


def test_a_login_that_is_accepted_says_nothing_about_another_failed_step(memory: AccountMemory) -> None:
    memory.of(KEY).fail(SILENT, NOW, of_repair=True)
    memory.of(KEY).fail(SILENT, NOW)

    memory.of(KEY).judge(1, ProbeVerdict.ACCEPTED, NOW)

    assert facts(memory).problem == SILENT


def test_refusals_count_until_there_is_another_candidate(memory: AccountMemory) -> None:
    refused = Wait("CandidateRefused", "it refuses the new password", seconds(5))
    memory.of(KEY).refuse(refused, NOW)
    memory.of(KEY).refuse(refused, NOW)
    assert (facts(memory).refused, facts(memory).problem) == (2, refused)

    memory.of(KEY).renew()
    assert facts(memory) == AccountFacts()


def test_a_server_that_does_not_answer_counts_as_no_refusal(memory: AccountMemory) -> None:
    memory.of(KEY).fail(SILENT, NOW)

    assert facts(memory).refused == 0


def test_three_repairs_within_an_hour_are_a_contest_until_the_hour_is_over(memory: AccountMemory) -> None:
    for minute in (0, 20, 40):
        memory.of(KEY).note_repair(NOW + minutes(minute))
    memory.of(KEY).judge(1, ProbeVerdict.REFUSED, NOW + minutes(41))

    assert facts(memory, 59).verdict is ProbeVerdict.CONTESTED
    assert facts(memory, 61).verdict is ProbeVerdict.REFUSED


def test_a_password_that_holds_after_three_repairs_is_accepted(memory: AccountMemory) -> None:
    for minute in (0, 20, 40):
        memory.of(KEY).note_repair(NOW + minutes(minute))
    memory.of(KEY).judge(1, ProbeVerdict.ACCEPTED, NOW + minutes(41))

    assert facts(memory, 42).verdict is ProbeVerdict.ACCEPTED


def test_only_a_verdict_that_differs_is_news(memory: AccountMemory) -> None:
    told = [
        memory.of(KEY).judge(number, verdict, NOW)
        for number, verdict in (
            (1, ProbeVerdict.ACCEPTED),
            (1, ProbeVerdict.ACCEPTED),
            (1, ProbeVerdict.REFUSED),
            (2, ProbeVerdict.REFUSED),
        )
    ]

    assert told == [True, False, True, True]


def test_a_verdict_says_nothing_about_another_credential(memory: AccountMemory) -> None:
    memory.of(KEY).judge(1, ProbeVerdict.ACCEPTED, NOW)

    memory.of(KEY).plan_probe(2, NOW + minutes(3))

    assert memory.of(KEY).probe_due == NOW + minutes(3)
    assert facts(memory) == AccountFacts()


def test_a_server_that_answers_again_is_asked_and_probed_at_once(memory: AccountMemory) -> None:
    memory.of(KEY).fail(SILENT, NOW)
    memory.of(KEY).plan_probe(1, NOW + minutes(9))
    memory.of(KEY).judge(1, ProbeVerdict.UNREACHABLE, NOW)

    memory.of(KEY).resume(NOW + seconds(1))

    due = memory.of(KEY).probe_due
    assert (facts(memory).again, due) == (NOW + seconds(1), NOW + seconds(1))


def test_the_probe_of_an_accepted_login_waits_though_an_operation_ends(memory: AccountMemory) -> None:
    memory.of(KEY).plan_probe(1, NOW + minutes(9))
    memory.of(KEY).judge(1, ProbeVerdict.ACCEPTED, NOW)

    memory.of(KEY).resume(NOW)

    assert memory.of(KEY).probe_due == NOW + minutes(9)


async def test_an_operation_in_progress_is_no_failure_and_ends_with_its_object(memory: AccountMemory) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    memory.of(KEY).keep_in_progress(BackgroundJob("Apply", task), "in progress", NOW)
    found = facts(memory)
    assert (found.busy, found.problem and found.problem.reason) == (True, "ChangingCredential")

    memory.forget(KEY)

    with pytest.raises(asyncio.CancelledError):
        await task
    assert facts(memory) == AccountFacts()


async def test_every_operation_ends_with_the_process(memory: AccountMemory) -> None:
    tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(2)]
    memory.of(KEY).keep_in_progress(BackgroundJob("Apply", tasks[0]), "in progress", NOW)
    memory.of(ObjectKey("shop", "other")).probe = tasks[1]

    await memory.close()

    assert [task.cancelled() for task in tasks] == [True, True]


TARGET = "orders"
OBJECTS = [ObjectKey("shop", f"db-{number}") for number in range(1000)]


@pytest.fixture
def breaker() -> ServerBreaker:
    return ServerBreaker()


def down(breaker: ServerBreaker, target: str = TARGET) -> ServerBreaker:
    for _ in range(3):
        breaker.fail(target, NOW)
    return breaker


def test_two_failures_stop_no_operation(breaker: ServerBreaker) -> None:
    breaker.fail(TARGET, NOW)
    breaker.fail(TARGET, NOW)

    assert breaker.admit(TARGET, OBJECTS[0], NOW) is None


def test_a_server_that_is_down_is_not_asked_before_the_pause_is_over(breaker: ServerBreaker) -> None:
    down(breaker)

    assert breaker.admit(TARGET, OBJECTS[0], NOW + seconds(4)) is not None
    assert breaker.admit(TARGET, OBJECTS[0], NOW + seconds(5)) is None


def test_one_of_a_thousand_objects_asks_a_server_that_is_down(breaker: ServerBreaker) -> None:
    down(breaker)
    later = NOW + seconds(6)

    admitted = [key for key in OBJECTS if breaker.admit(TARGET, key, later) is None]

    assert admitted == OBJECTS[:1]


def test_the_pause_doubles_up_to_two_minutes(breaker: ServerBreaker) -> None:
    now, pauses = NOW, []
    down(breaker)
    for _ in range(7):
        moments = (now + seconds(count) for count in range(600))
        then = next(when for when in moments if breaker.admit(TARGET, OBJECTS[0], when) is None)
        pauses.append((then - now).total_seconds())
        now = then
        breaker.fail(TARGET, now)

    assert pauses == [5, 10, 20, 40, 80, 120, 120]


def test_objects_that_were_not_admitted_are_woken_once_by_the_first_answer(breaker: ServerBreaker) -> None:
    down(breaker)
    for key in OBJECTS[:3]:
        breaker.admit(TARGET, key, NOW + seconds(1))
    breaker.forget(OBJECTS[2])

    assert breaker.succeed(TARGET) == frozenset(OBJECTS[:2])
    assert breaker.succeed(TARGET) == frozenset()
    assert breaker.admit(TARGET, OBJECTS[0], NOW) is None


def test_an_object_that_was_not_admitted_asks_again_though_no_answer_wakes_it(breaker: ServerBreaker) -> None:
    assert down(breaker).admit(TARGET, OBJECTS[0], NOW) == NOW + minutes(2)


def test_the_failures_of_one_server_say_nothing_about_another(breaker: ServerBreaker) -> None:
    assert down(breaker).admit("billing", OBJECTS[0], NOW) is None


def test_servers_that_were_not_asked_for_an_hour_take_no_memory(breaker: ServerBreaker) -> None:
    down(breaker, "waited for").admit("waited for", OBJECTS[0], NOW)
    for number in range(1100):
        breaker.fail(f"deleted-{number}", NOW)
    assert len(breaker._servers) == 1101

    breaker.fail(TARGET, NOW + minutes(61))

    assert list(breaker._servers) == ["waited for", TARGET]

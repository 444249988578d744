"""What the process says, and what it never says."""

import asyncio
import gc
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from kopf._cogs.clients.errors import APITooManyRequestsError

from keyturn.core.errors import Stalled, Wait
from keyturn.core.value import Value
from keyturn.runtime.invisible_characters import is_visible
from keyturn.runtime.logs import LogFormat, configure, describe

CANARY = "canary-9Zx4"

pytestmark = pytest.mark.usefixtures("restored")


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(params=LogFormat)
def either(request: pytest.FixtureRequest) -> LogFormat:
    return LogFormat(request.param)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def raised(error: Exception, *, because: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error from because
    return caught.value


def test_a_json_line_has_the_event_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    structlog.get_logger().info("value published", secret="shop/auth")  # noqa: S106  # its name
    (line,) = lines(capsys)
    assert datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp")) < timedelta(minutes=1)
    assert line == {"event": "value published", "level": "info", "secret": "shop/auth"}


def test_a_console_line_reads_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.CONSOLE)
    structlog.get_logger().info("value published", secret="shop/auth")  # noqa: S106  # its name
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info {5}\] value published +secret=shop/auth\n", line)


def test_a_time_is_written_as_iso_8601(either: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(either)
    structlog.get_logger().info("rested", until=datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert "2026-11-24T09:00:00+00:00" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "said"),
    [(logging.DEBUG, ["debug", "info", "warning"]), (logging.INFO, ["info", "warning"])],
    ids=["verbose", "usual"],
)
def test_our_lines_are_said_from_the_level_on(
    level: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogFormat.JSON, level)
    log = structlog.get_logger()
    log.debug("step taken")
    log.info("step taken")
    log.warning("step taken")
    assert [line["level"] for line in lines(capsys)] == said


@pytest.mark.parametrize(
    "library", ["kopf.activities", "aiohttp.server", "kubernetes.client.rest", "asyncio"]
)
@pytest.mark.parametrize(
    ("level", "said"),
    [(logging.DEBUG, ["info", "warning"]), (logging.INFO, ["warning"])],
    ids=["verbose", "usual"],
)
def test_a_library_is_one_level_quieter(
    library: str, level: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogFormat.JSON, level)
    log = logging.getLogger(library)
    log.debug("body: %s", CANARY)
    log.info("watch %s", "begun")
    log.warning("watch %s", "begun")
    assert [(line["level"], line["logger"], line["event"]) for line in lines(capsys)] == [
        (each, library, "watch begun") for each in said
    ]


def test_configuring_again_says_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.CONSOLE)
    configure(LogFormat.JSON)
    logging.getLogger("kopf").warning("watch begun")
    assert len(lines(capsys)) == 1


def nest(value: Value) -> dict[str, Any]:
    return {"one": value, "listed": [value], "keyed": {"a": {"b": (value,)}}}


def test_a_value_is_shown_as_a_box_however_deep_it_is(
    either: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(either)
    structlog.get_logger().info("value published", **nest(Value.of_text(CANARY)))
    said = capsys.readouterr().err
    assert (said.count("Value(…)"), CANARY in said) == (3, False)


HIDDEN = "a\u202eb\u200bc\x1b[2Jd\U000e0041e"
SHOWN = r"a\u202eb\u200bc\u001b[2Jd\udb40\udc41e"


def say_hidden_in_a_field() -> None:
    structlog.get_logger().warning("store not ready", message=HIDDEN)


def say_hidden_deep_in_a_field() -> None:
    structlog.get_logger().warning("rollout failed", workloads=[{"name": HIDDEN}])


def say_hidden_in_an_event() -> None:
    logging.getLogger("aiohttp.server").warning("%s", HIDDEN)


@pytest.mark.parametrize("say", [say_hidden_in_a_field, say_hidden_deep_in_a_field, say_hidden_in_an_event])
def test_no_letter_that_is_not_seen_is_logged(
    say: Callable[[], None], either: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(either)
    say()
    said = capsys.readouterr().err

    assert is_visible(said)
    is_repr = either is LogFormat.CONSOLE and say is say_hidden_deep_in_a_field
    assert (ascii(HIDDEN)[1:-1] if is_repr else SHOWN) in said


def test_a_json_line_reads_as_it_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    say_hidden_in_a_field()
    assert [line["message"] for line in lines(capsys)] == [HIDDEN]


def test_no_field_makes_a_line_of_its_own(either: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(either)
    structlog.get_logger().warning("store not ready", message="x\n2026-11-27 [info] all is well")
    assert capsys.readouterr().err.count("\n") == 1


STATUS: Any = {
    "kind": "Status",
    "status": "Failure",
    "message": f"the object says {CANARY}\n: it's ({CANARY})",
    "reason": "TooManyRequests",
    "code": 429,
    "details": {"name": CANARY, "causes": [{"message": CANARY}]},
}
REFUSAL = APITooManyRequestsError(STATUS, status=429, headers={"X": CANARY})
WHAT = "GET https://10.0.0.1/apis/keyturn.dev/v1alpha1/managedsecrets"
RETRIED = f"Request attempt #1/9 failed; will retry: {WHAT}"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (f"{RETRIED} -> {REFUSAL!r}", f"{RETRIED} -> APITooManyRequestsError, status=429"),
        (f"{RETRIED} -> OSError({CANARY!r})", f"{RETRIED} -> OSError"),
        (f"{RETRIED} -> Error({CANARY + ') -> X(1'!r}, status=500)", f"{RETRIED} -> Error, status=500"),
        (f"{RETRIED} -> <{CANARY}>", RETRIED),
        (f"Watcher for managedsecrets has failed: {REFUSAL}", "Watcher for managedsecrets has failed"),
        (f"Throttling for 3 seconds due to an unexpected error: {REFUSAL!r}", "an unexpected error"),
        (f"Ignoring an unsupported event type: {STATUS!r}", "an unsupported event type"),
        (f"Failed to post an event. Code: 403. Message: {CANARY!r}. Details: {STATUS!r}", "Failed to post"),
    ],
    ids=["refused", "network", "odd words", "no error", "watcher", "throttling", "event type", "event"],
)
def test_kopf_does_not_quote_what_the_server_answered(
    line: str, left: str, either: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(either)
    logging.getLogger("kopf._cogs.clients.api").error(line)
    said = capsys.readouterr().err
    assert (left in said, CANARY in said) == (True, False)


@pytest.mark.parametrize(
    "line",
    [
        f"Request attempt #1/9 failed; TCP closed; will re-authenticate: {WHAT}",
        "Unresolved resources cannot be served (try creating their CRDs): {'managedsecrets.keyturn.dev'}",
    ],
    ids=["closed", "unresolved"],
)
def test_what_kopf_says_in_its_own_words_is_kept(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    logging.getLogger("kopf.reactor").warning(line)
    assert [one["event"] for one in lines(capsys)] == [line]


class Reporting:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        structlog.get_logger().exception("step failed")


def fail_in_ours(error: Exception) -> None:
    structlog.get_logger().error("step failed", exc_info=error)


def fail_in_ours_by_field(error: Exception) -> None:
    structlog.get_logger().error("step failed", cause=error)


def fail_in_ours_within_a_handler(error: Exception) -> None:
    with pytest.raises(type(error)), Reporting():
        raise error


def fail_in_a_library(error: Exception) -> None:
    logging.getLogger("kopf").error("handler failed", exc_info=error)


def fail_in_a_forgotten_task(error: Exception) -> None:
    async def forget() -> None:
        async def fail() -> None:
            raise error

        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])

    asyncio.run(forget())
    gc.collect()


def fail_at_last(error: Exception) -> None:
    sys.excepthook(type(error), error, error.__traceback__)


WAYS_TO_FAIL: list[Callable[[Exception], None]] = [
    fail_in_ours,
    fail_in_ours_by_field,
    fail_in_ours_within_a_handler,
    fail_in_a_library,
    fail_in_a_forgotten_task,
    fail_at_last,
]


@pytest.mark.parametrize("fail", WAYS_TO_FAIL)
def test_an_error_is_named_without_its_words(
    fail: Callable[[Exception], None], either: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(either, logging.DEBUG)
    fail(raised(KeyError(CANARY), because=ValueError(CANARY)))
    said = capsys.readouterr().err
    assert ("KeyError < ValueError" in said, CANARY in said) == (True, False)


def test_an_interrupt_from_the_keyboard_stays_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "KeyboardInterrupt\n"


def test_an_error_is_described_by_where_it_was_raised() -> None:
    (frame,) = describe(raised(ValueError(CANARY)))["frames"]
    assert re.fullmatch(r"runtime/test_logs\.py:\d+ raised", frame)


def test_errors_of_a_group_are_all_named() -> None:
    group = ExceptionGroup(CANARY, [raised(OSError(CANARY), because=KeyError(CANARY)), TimeoutError()])
    assert describe(group)["error"] == "ExceptionGroup < OSError < KeyError < TimeoutError"


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (Stalled("TooWeak", "write length: 32 or more"), "Stalled: TooWeak: write length: 32 or more"),
        (Wait("Unreachable", "no answer", timedelta(minutes=1)), "Wait: Unreachable: no answer"),
    ],
    ids=["stalled", "wait"],
)
def test_our_own_errors_keep_their_words(error: Exception, described: str) -> None:
    assert describe(error)["error"] == described


def test_of_an_endless_recursion_the_last_frames_are_kept() -> None:
    def recur() -> None:
        recur()

    with pytest.raises(RecursionError) as caught:
        recur()
    assert len(describe(caught.value)["frames"]) == 20

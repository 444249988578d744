"""Which health is reported."""

from __future__ import annotations

import pytest

from keyturn.core.observation.health import Health, reported

VALID = Health(is_ready=True, reason="Valid", message="the last check succeeded")
AWAY = Health(is_ready=False, reason="Unreachable", message="Timeout", passes=True)
REFUSED = Health(is_ready=False, reason="AuthenticationFailed", message="refused")


@pytest.mark.parametrize(
    ("before", "after", "is_news"),
    [
        pytest.param(None, AWAY, True, id="the first result"),
        pytest.param(VALID, AWAY, True, id="a problem"),
        pytest.param(AWAY, VALID, True, id="the end of a problem"),
        pytest.param(
            REFUSED, REFUSED._replace(message="locked"), True, id="another message of one that lasts"
        ),
        pytest.param(AWAY, AWAY._replace(message="NoAnswer"), False, id="another message of one that passes"),
    ],
)
def test_a_problem_that_passes_is_reported_once(
    before: Health | None, after: Health, *, is_news: bool
) -> None:
    assert reported(before, after) is (after if is_news else before)

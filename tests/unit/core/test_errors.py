from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.errors import Stalled, Wait, copied


class Silent(Wait):
    pass


@pytest.mark.parametrize(
    "error",
    [
        Stalled("InvalidSpec", "write another name", datetime(2026, 1, 1, tzinfo=UTC)),
        Wait("NoAnswer", "retried", timedelta(minutes=1)),
        Silent("NoAnswer", "retried", timedelta(minutes=1)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_copy_says_the_same_and_has_no_frames(error: Wait | Stalled) -> None:
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            raise copied(error)
        assert type(caught.value) is type(error)
        assert vars(caught.value) == vars(error)
        assert caught.value.args == error.args
        assert caught.value is not error
    assert error.__traceback__ is None

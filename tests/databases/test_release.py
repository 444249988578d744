"""An account whose marks are gone is claimed with its recorded passwords: steps of the operator at a real server."""

from keyturn.controllers.managedsecret.account.operation import Claimed, Effect, Operation
from keyturn.core.errors import Wait
from keyturn.core.rotation.steps import Account as AccountStep
from keyturn.core.spec.items import VALUE
from keyturn.core.state.records import Credential, ItemValues, Phase, Revision
from keyturn.core.state.state import State
from keyturn.databases.base import Account, Answer, Login
from tests.databases.servers import Place, account, open_fence, opened
from tests.unit.core import builders as make
from tests.unit.core.accounts import At, placed
from tests.unit.core.builders import NOW


def operation(place: Place, owned: Account, state: State, *live: Credential, step: AccountStep) -> Operation:
    engine = place.engine()
    step = placed(step, state.facts, live)
    return Operation(engine, owned, None, state, step, "password", open_fence, "account: app")


def recorded(logins: tuple[Login, ...], *credentials: Credential, current: int) -> State:
    """Return a state in which the first login has the password of revision 1, and so on."""
    revisions = [
        (
            make.revision(number, credential=number),
            Revision({"password": ItemValues("", {VALUE: login.password}, {VALUE: "password"})}),
        )
        for number, login in enumerate(logins, 1)
    ]
    return make.record(*reversed(revisions), credentials=credentials, current=current)


async def released(place: Place, *names: str) -> tuple[Account, tuple[Login, ...]]:
    """Return an account with both logins open, released by the statements of the message of AccountTaken."""
    owned = account()
    logins = await opened(place, owned, *owned.logins)
    place.server.execute(*(f"COMMENT ON ROLE {name} IS NULL" for name in (names or owned.names)))
    return owned, logins


async def answers(place: Place, logins: tuple[Login, ...]) -> list[Answer]:
    engine = place.engine()
    return [(await engine.prove(login)).answer for login in logins]


async def test_a_rotation_claims_the_released_account_and_its_published_login_stays_open(weak: Place) -> None:
    owned, logins = await released(weak)
    old, new = (
        Credential(1, owned.logins[0], Phase.PROVEN, NOW, item="password", target="DatabaseTarget/orders"),
        Credential(2, owned.logins[1], Phase.STAGED, NOW, item="password", target="DatabaseTarget/orders"),
    )
    state = recorded(logins, new, old, current=1)

    done = await operation(weak, owned, state, old, new, step=At.apply(2)).run()

    assert done == Effect(Claimed.ADOPTED)
    assert await answers(weak, logins) == [Answer.ACCEPTED] * 2
    found = await weak.engine().find(owned)
    assert (found.mark, found.unclaimed) == (owned.mark, ())


async def test_a_revocation_claims_the_released_account_and_closes_the_old_login(weak: Place) -> None:
    owned, logins = await released(weak)
    old, current = (
        Credential(1, owned.logins[0], Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders"),
        Credential(2, owned.logins[1], Phase.PROVEN, NOW, item="password", target="DatabaseTarget/orders"),
    )
    state = recorded(logins, current, old, current=2)

    done = await operation(weak, owned, state, current, step=At.revoke(1)).run()

    assert done == Effect()
    assert await answers(weak, logins) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_a_deletion_does_not_end_while_the_released_account_accepts_a_login(weak: Place) -> None:
    owned, logins = await released(weak)
    credentials = (
        Credential(1, owned.logins[0], Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders"),
    )
    deleted = operation(weak, owned, recorded(logins, *credentials, current=1), step=At.retire())

    waits = await deleted.run()

    assert isinstance(waits, Wait)
    assert waits.reason == "StillAccepted"
    weak.server.execute(waits.message.partition("as an administrator: ")[2])
    assert await deleted.run() == Effect()
    assert await answers(weak, logins) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_a_deletion_closes_the_account_once(weak: Place) -> None:
    owned = account()
    logins = await opened(weak, owned, *owned.logins)
    credentials = (
        Credential(1, owned.logins[0], Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders"),
    )
    deleted = operation(weak, owned, recorded(logins, *credentials, current=1), step=At.retire())

    assert [await deleted.run() for _ in range(2)] == [Effect()] * 2
    assert await answers(weak, logins) == [Answer.REFUSED] * 2

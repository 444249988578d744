"""What a plan assumes of values that it neither reads nor generates."""

from typing import Any

from keyturn.cli.plan.simulate import Makers, content_found, content_generated
from keyturn.core.rotation.transitions import Content
from tests.support.cases import case, cases
from tests.unit.core import builders as make

TOKEN: dict[str, Any] = {"name": "token", "generate": {"bytes": {}}}
TEMPLATE = {"target": {"template": {"data": {"url": "{{ password }}"}}}}
BOTH = make.desired({"data": [make.PASSWORD, TOKEN]})


def test_an_existing_secret_has_every_key_and_nothing_is_rendered() -> None:
    keys = {"password": {"value": "password"}}

    assert content_found(make.desired(TEMPLATE)) == Content(keys, {}, frozenset(), frozenset())


def changed(fresh: set[str], before: dict[str, str], **spec: Any) -> frozenset[str]:
    """Return the keys that change in a spec of password and token; `before` are the keys of the items then."""
    desired = make.desired({"data": [make.PASSWORD, TOKEN], **spec})
    state = make.state(keys={name: {"value": key} for name, key in before.items()})
    makers = Makers(needs={"token": frozenset({"password"})}, merges={})
    return content_generated(frozenset(fresh), desired, state, makers).changed


SAME = {"password": "password", "token": "token"}


@cases(
    ("before", "spec", "keys"),
    case("nothing", SAME, {}, set()),
    case("a renamed key", SAME | {"password": "old"}, {}, {"password", "old"}),
    case("an added item", {"token": "token"}, {}, {"password"}),
    case("a removed item", SAME | {"old": "old"}, {}, {"old"}),
    case("an added template", SAME, TEMPLATE, {"url"}),
    case("an input of a template", {"token": "token"}, TEMPLATE, {"password", "url"}),
)
def test_keys_that_change_with_the_spec(before: dict[str, str], spec: dict[str, Any], keys: set[str]) -> None:
    assert changed(set(), before, **spec) == keys


def test_keys_of_dependent_items_change_with_a_new_value() -> None:
    assert changed({"password"}, SAME) == {"password", "token"}
    assert changed({"token"}, SAME) == {"token"}


def test_values_are_generated_for_items_with_a_generator_and_those_that_depend_on_them() -> None:
    desired = make.desired({"data": [make.PASSWORD, TOKEN, make.USERNAME]})
    makers = Makers(needs={"token": frozenset({"password"})}, merges={})
    state = make.state(keys={name: {"value": name.upper()} for name in ("password", "token", "username")})

    def fresh(*items: str) -> frozenset[str]:
        return content_generated(frozenset(items), desired, state, makers).fresh

    assert fresh("password", "username") == {"password", "token"}
    assert fresh() == set(), "other keys are no other values"


def test_a_first_revision_changes_every_key() -> None:
    content = content_generated(frozenset({"password"}), BOTH, None, Makers(needs={}, merges={}))

    assert content.changed == {"password", "token"}
    assert content.previous == set()
    assert content.keys == {"password": {"value": "password"}, "token": {"value": "token"}}


def test_templates_that_read_a_replaced_value_have_an_overlap() -> None:
    texts = {"keys": "{{ previous.password }}", "other": "{{ previous.token }}", "none": "{{ password }}"}
    desired = make.desired({"data": [make.PASSWORD, TOKEN], "target": {"template": {"data": texts}}})
    before = make.state(names=("password", "token"))

    content = content_generated(frozenset({"password"}), desired, before, Makers(needs={}, merges={}))

    assert content.previous == {"keys"}


def test_replaced_values_stay_readable_during_an_overlap() -> None:
    desired = make.desired({"data": [make.PASSWORD, TOKEN | {"keepPrevious": True}]})
    before = make.state(names=("password", "token"))
    makers = Makers(needs={}, merges={"password": frozenset({"value"})})

    content = content_generated(frozenset({"password", "token"}), desired, before, makers)

    assert content.previous == {"token.previous", "password"}

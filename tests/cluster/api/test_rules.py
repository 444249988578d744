"""The API server refuses and accepts the rows of `rules.yaml`, and names the field and the rule."""

import pytest

from tests.cluster.api import rules
from tests.cluster.api.objects import Body, Objects


@pytest.mark.parametrize(
    ("field", "sentence", "bodies"), [pytest.param(*rule, id=name) for name, *rule in rules.refused()]
)
def test_a_refusal_names_the_field_and_the_rule(
    field: str, sentence: str, bodies: list[Body], objects: Objects
) -> None:
    for body in bodies:
        refusals = objects.refusals(body)

        assert [found for found, _ in refusals] == [field], body
        assert sentence in refusals[0][1], body


@pytest.mark.parametrize("bodies", [pytest.param(bodies, id=name) for name, bodies in rules.accepted()])
def test_an_accepted_spec_comes_back_as_it_was_sent(bodies: list[Body], objects: Objects) -> None:
    for body in bodies:
        assert objects.try_(body)["spec"] == body["spec"]

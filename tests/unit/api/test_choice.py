"""A choice has exactly one kind with its settings, whoever brings the kinds."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pydantic
import pytest

from keyturn.api import ProviderChoice, Recipe

if TYPE_CHECKING:
    from keyturn.api.choice import Choice

SENTENCES = {
    Recipe: "write exactly one generator under generate",
    ProviderChoice: "write exactly one provider under provider, such as kubernetes: {}",
}


@pytest.mark.parametrize("root", [{}, {"one": {}, "other": {}}], ids=["none", "two"])
@pytest.mark.parametrize("choice", SENTENCES, ids=lambda choice: choice.__name__)
def test_none_or_two_are_refused_with_what_to_write(choice: type[Choice], root: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        choice.model_validate(root)

    assert [error["msg"] for error in caught.value.errors()] == [f"Value error, {SENTENCES[choice]}"]


@pytest.mark.parametrize("choice", SENTENCES, ids=lambda choice: choice.__name__)
def test_one_is_read_with_its_settings(choice: type[Choice]) -> None:
    read = choice.model_validate({"vault": {"server": "https://vault:8200"}})

    assert (read.kind, read.settings) == ("vault", {"server": "https://vault:8200"})


def test_two_providers_are_the_same_whatever_the_order_of_their_settings() -> None:
    one = ProviderChoice.model_validate({"vault": {"server": "https://vault:8200", "mount": "shop"}})
    other = ProviderChoice.model_validate({"vault": {"mount": "shop", "server": "https://vault:8200"}})

    assert one.text == other.text == '{"vault":{"mount":"shop","server":"https://vault:8200"}}'


def test_a_choice_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        ProviderChoice({"kubernetes": {}}).root = {}  # type: ignore[misc]


def test_what_is_refused_is_never_repeated() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        ProviderChoice.model_validate({"webhook": "canary-7Qd0"})

    told = "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert ("canary-7Qd0" in told) is False

"""What `keyturn run` takes and refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main
from keyturn.kube.config import NotConfigured

if TYPE_CHECKING:
    from keyturn.runner import Options


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Return the options with which the operator was run; it ends at once, and logs nothing."""
    served: list[Options] = []

    async def run(options: Options) -> None:
        served.append(options)
        raise NotConfigured("no cluster")

    monkeypatch.setattr("keyturn.runner.run", run)
    monkeypatch.setattr("keyturn.logs.configure", lambda *_: None)
    return served


@pytest.mark.parametrize("name", ["", "Shop", "a/b", "-shop", "shop-", "shop.eu", "shop\n", "*", "a" * 64])
def test_a_name_that_cannot_be_a_namespace_is_refused_with_what_to_write(
    name: str, served: list[Options]
) -> None:
    answer = CliRunner().invoke(main, ["run", "--namespace=shop", f"--namespace={name}"])

    assert answer.exit_code == 2
    assert f"{name!r} cannot be a namespace: write up to 63 lowercase letters" in answer.output
    assert served == []


def test_a_name_that_can_be_a_namespace_is_served(served: list[Options]) -> None:
    names = ("a", "shop", "0-shop--9", "a" * 63)

    CliRunner().invoke(main, ["run", *(f"--namespace={name}" for name in names)])

    assert [options.namespaces for options in served] == [names]

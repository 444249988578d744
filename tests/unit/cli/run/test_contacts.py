"""Which files of contacts `keyturn run` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.controllers.manager import Options

_GUIDE = """\
Security Team: security@yourcompany.com
On-Call: +1-XXX-XXX-XXXX
Incident Response: https://yourcompany.com/security/incident
"""


def test_the_contacts_of_the_guide_are_taken_in_their_order(served: list[Options], tmp_path: Path) -> None:
    path = tmp_path / "contacts.yaml"
    path.write_text(_GUIDE)

    CliRunner().invoke(main, ["run", "--all-namespaces", f"--contacts={path}"])

    assert [list(options.contacts.items()) for options in served] == [
        [
            ("Security Team", "security@yourcompany.com"),
            ("On-Call", "+1-XXX-XXX-XXXX"),
            ("Incident Response", "https://yourcompany.com/security/incident"),
        ]
    ]


def test_without_a_file_there_are_none(served: list[Options]) -> None:
    CliRunner().invoke(main, ["run", "--all-namespaces"])

    assert [dict(options.contacts) for options in served] == [{}]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("- a\n- b\n", id="a list"),
        pytest.param("On-Call: 112\n", id="a number"),
        pytest.param("On-Call: {phone: a}\n", id="nested"),
        pytest.param('On-Call: "a\\nb"\n', id="two lines"),
        pytest.param("On-Call: ''\n", id="no text"),
        pytest.param(f"On-Call: {'x' * 257}\n", id="too long"),
        pytest.param("a: [\n", id="no YAML"),
        pytest.param("".join(f"role {place}: a\n" for place in range(17)), id="seventeen"),
        pytest.param(None, id="no file"),
    ],
)
def test_another_file_is_refused(text: str | None, served: list[Options], tmp_path: Path) -> None:
    path = tmp_path / "contacts.yaml"
    if text is not None:
        path.write_text(text)

    answer = CliRunner().invoke(main, ["run", "--all-namespaces", f"--contacts={path}"])

    assert (answer.exit_code, served) == (2, [])
    assert str(path) in answer.output.replace("\n", "")

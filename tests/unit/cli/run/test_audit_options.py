"""What `keyturn run` takes and refuses for the endpoint."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main
from keyturn.endpoints.audit import AuditSettings
from sandbox.pki import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.controllers.manager import Options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority.new("audit").issue("keyturn").write(tmp_path, "server")
    (tmp_path / "token").write_text(secrets.token_hex(32))
    (tmp_path / "short").write_text("secret")
    return tmp_path


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Run it with options in which @ stands for the folder."""
    given = [option.replace("@", f"{folder}/") for option in options]
    answer = CliRunner().invoke(main, ["run", "--all-namespaces", *given])
    return answer.exit_code, answer.output


def test_it_is_off_unless_it_is_asked_for(served: list[Options], folder: Path) -> None:
    run(folder)
    assert [options.audit for options in served] == [None]


def test_what_is_asked_for_is_handed_on(served: list[Options], folder: Path) -> None:
    files = ("--audit-cert=@server.crt", "--audit-key=@server.key", "--audit-token-file=@token")
    more = ("--audit-allow=a", "--audit-allow=b:*", "--audit-learning=1d12h")
    run(folder, "--audit-port=8443", *files, *more)
    assert [options.audit for options in served] == [
        AuditSettings(
            8443,
            folder / "server.crt",
            folder / "server.key",
            folder / "token",
            allowed=("a", "b:*"),
            learning=timedelta(hours=36),
        )
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--audit-cert=@server.crt"], "--audit-port 8443"),
        (["--audit-port=8443"], "set --audit-cert, --audit-key and --audit-token-file"),
        (
            ["--audit-port=8443", "--audit-cert=@server.crt"],
            "set --audit-cert, --audit-key and --audit-token-file",
        ),
        (
            ["--audit-port=8443", "--audit-cert=@server.crt", "--audit-key=@server.key"],
            "set --audit-cert, --audit-key and --audit-token-file",
        ),
        (
            [
                "--audit-port=8443",
                "--audit-cert=@server.crt",
                "--audit-key=@server.key",
                "--audit-token-file=@short",
            ],
            "at least 32 characters",
        ),
        (["--audit-port=8443", "--audit-token-file=@nothing"], "does not exist"),
        (["--audit-learning=fortnight"], "write a duration such as"),
    ],
    ids=["no port", "no files", "no key", "nobody", "short token", "no file", "no duration"],
)
def test_what_cannot_be_served_is_refused_with_what_to_write(
    options: list[str], sentence: str, served: list[Options], folder: Path
) -> None:
    code, said = run(folder, *options)
    assert code == 2
    assert sentence in " ".join(said.split())
    assert served == []

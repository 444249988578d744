"""What `keyturn run` takes and refuses for the audit webhook, metrics and contacts."""

import secrets
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main
from keyturn.controllers.manager import Options
from keyturn.endpoints.audit import AuditSettings
from keyturn.endpoints.server import Exposure, Ports
from keyturn.installation.checks.rights import Feature
from sandbox.pki import Authority
from tests.support.cases import case, cases
from tests.support.options import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority.new("audit").issue("keyturn").write(tmp_path, "server")
    (tmp_path / "token").write_text(secrets.token_hex(32))
    (tmp_path / "short").write_text("secret")
    return tmp_path


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
    "options",
    [
        ["--audit-cert=@server.crt"],
        ["--audit-port=8443"],
        ["--audit-port=8443", "--audit-cert=@server.crt"],
        ["--audit-port=8443", "--audit-cert=@server.crt", "--audit-key=@server.key"],
        [
            "--audit-port=8443",
            "--audit-cert=@server.crt",
            "--audit-key=@server.key",
            "--audit-token-file=@short",
        ],
        ["--audit-port=8443", "--audit-token-file=@nothing"],
        ["--audit-learning=fortnight"],
    ],
    ids=["no port", "no files", "no key", "nobody", "short token", "no file", "no duration"],
)
def test_what_cannot_be_served_is_refused_with_what_to_write(
    options: list[str], served: list[Options], folder: Path
) -> None:
    code, _ = run(folder, *options)
    assert (code, served) == (2, [])


@pytest.fixture
def metrics_folder(tmp_path: Path) -> Path:
    for name in ("metrics", "other"):
        Authority.new(name).issue("keyturn").write(tmp_path, name)
    return tmp_path


def test_metrics_are_for_everybody_unless_a_login_is_asked_for(
    served: list[Options], metrics_folder: Path
) -> None:
    run(metrics_folder)
    run(metrics_folder, "--metrics-auth", "--metrics-port=1", "--health-port=2")

    assert [options.exposure for options in served] == [Exposure(), Exposure(Ports(1, 2), asks_login=True)]
    assert [options.place.features for options in served] == [frozenset(), {Feature.METRICS_AUTH}]


def test_a_certificate_is_handed_on(served: list[Options], metrics_folder: Path) -> None:
    run(metrics_folder, "--metrics-cert=@metrics.crt", "--metrics-key=@metrics.key")

    files = metrics_folder / "metrics.crt", metrics_folder / "metrics.key"
    assert [options.exposure for options in served] == [Exposure(Ports(), False, *files)]  # noqa: FBT003


@pytest.mark.parametrize(
    "options",
    [
        ["--metrics-cert=@metrics.crt"],
        ["--metrics-key=@metrics.key"],
        ["--metrics-cert=@none", "--metrics-key=@metrics.key"],
        ["--metrics-cert=@metrics.crt", "--metrics-key=@other.key"],
    ],
    ids=["no key", "no certificate", "no file", "another's key"],
)
def test_metrics_that_cannot_be_served_are_refused_with_what_to_write(
    options: list[str], served: list[Options], metrics_folder: Path
) -> None:
    code, _ = run(metrics_folder, *options)

    assert (code, served) == (2, [])


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


@cases(
    "text",
    case("empty", ""),
    case("a list", "- a\n- b\n"),
    case("a number", "On-Call: 112\n"),
    case("nested", "On-Call: {phone: a}\n"),
    case("two lines", 'On-Call: "a\\nb"\n'),
    case("no text", "On-Call: ''\n"),
    case("too long", f"On-Call: {'x' * 257}\n"),
    case("no YAML", "a: [\n"),
    case("seventeen", "".join(f"role {place}: a\n" for place in range(17))),
    case("no file", None),
)
def test_another_file_is_refused(text: str | None, served: list[Options], tmp_path: Path) -> None:
    path = tmp_path / "contacts.yaml"
    if text is not None:
        path.write_text(text)

    answer = CliRunner().invoke(main, ["run", "--all-namespaces", f"--contacts={path}"])

    assert (answer.exit_code, served) == (2, [])
    assert str(path) in answer.output.replace("\n", "")

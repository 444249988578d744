"""What `keyturn run` takes and refuses for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.endpoints.dashboard import DashboardSettings
from keyturn.endpoints.server_tls import CannotServe, ServerTls
from sandbox.pki import Authority
from tests.support.options import run

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.controllers.manager import Options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ui", "other"):
        Authority.new(name).issue("keyturn").write(tmp_path, name)
    return tmp_path


def test_it_is_off_unless_it_is_asked_for(served: list[Options], folder: Path) -> None:
    run(folder)
    assert [options.ui for options in served] == [None]


def test_a_port_is_enough(served: list[Options], folder: Path) -> None:
    run(folder, "--ui-port=8082")
    assert [options.ui for options in served] == [DashboardSettings(8082)]


def test_a_certificate_is_handed_on(served: list[Options], folder: Path) -> None:
    run(folder, "--ui-port=8082", "--ui-cert=@ui.crt", "--ui-key=@ui.key")
    assert [options.ui for options in served] == [
        DashboardSettings(8082, folder / "ui.crt", folder / "ui.key")
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--ui-port=70000"], "is not in the range", id="no port"),
        pytest.param(
            ["--ui-cert=@ui.crt", "--ui-key=@ui.key"], "the port of the web UI: --ui-port", id="no port"
        ),
        pytest.param(["--ui-port=1", "--ui-cert=@ui.crt"], "set --ui-cert and --ui-key", id="no key"),
        pytest.param(["--ui-port=1", "--ui-key=@ui.key"], "set --ui-cert and --ui-key", id="no certificate"),
        pytest.param(["--ui-port=1", "--ui-cert=@none", "--ui-key=@ui.key"], "does not exist", id="no file"),
        pytest.param(
            ["--ui-port=1", "--ui-cert=@ui.crt", "--ui-key=@other.key"],
            "the key must fit",
            id="another's key",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_what_to_write(
    options: list[str], said: str, served: list[Options], folder: Path
) -> None:
    code, output = run(folder, *options)

    assert (code, served) == (2, [])
    assert said in " ".join(output.split())


def test_a_renewed_certificate_is_taken(folder: Path) -> None:
    tls = ServerTls(folder / "ui.crt", folder / "ui.key", "ui")
    assert not tls.refresh()

    Authority.new("newer").issue("keyturn").write(folder, "ui")
    assert tls.refresh()


def test_a_spoiled_certificate_is_refused_each_time(folder: Path) -> None:
    tls = ServerTls(folder / "ui.crt", folder / "ui.key", "ui")
    (folder / "ui.crt").write_text("nothing")

    for _ in range(2):
        with pytest.raises(CannotServe, match="must be readable PEM files"):
            tls.refresh()

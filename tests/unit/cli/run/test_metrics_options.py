"""What `keyturn run` takes and refuses for its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.endpoints.server import Exposure, Ports
from keyturn.installation.checks.rights import Feature
from sandbox.pki import Authority
from tests.support.options import run

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.controllers.manager import Options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("metrics", "other"):
        Authority.new(name).issue("keyturn").write(tmp_path, name)
    return tmp_path


def test_metrics_are_for_everybody_unless_a_login_is_asked_for(served: list[Options], folder: Path) -> None:
    run(folder)
    run(folder, "--metrics-auth", "--metrics-port=1", "--health-port=2")

    assert [options.exposure for options in served] == [Exposure(), Exposure(Ports(1, 2), asks_login=True)]
    assert [options.place.features for options in served] == [frozenset(), {Feature.METRICS_AUTH}]


def test_a_certificate_is_handed_on(served: list[Options], folder: Path) -> None:
    run(folder, "--metrics-cert=@metrics.crt", "--metrics-key=@metrics.key")

    files = folder / "metrics.crt", folder / "metrics.key"
    assert [options.exposure for options in served] == [Exposure(Ports(), False, *files)]  # noqa: FBT003


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metrics-cert=@metrics.crt"], "set --metrics-cert and --metrics-key, or neither"),
        (["--metrics-key=@metrics.key"], "set --metrics-cert and --metrics-key, or neither"),
        (["--metrics-cert=@none", "--metrics-key=@metrics.key"], "does not exist"),
        (
            ["--metrics-cert=@metrics.crt", "--metrics-key=@other.key"],
            "--metrics-cert and --metrics-key must be readable PEM files, and the key must fit",
        ),
    ],
    ids=["no key", "no certificate", "no file", "another's key"],
)
def test_what_cannot_be_served_is_refused_with_what_to_write(
    options: list[str], said: str, served: list[Options], folder: Path
) -> None:
    code, output = run(folder, *options)

    assert (code, served) == (2, [])
    assert said in " ".join(output.split())

"""What commands say where the packages are missing that the operator's image leaves out."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.checklist import source_control
from keyturn.checklist.backup import NoBackup, decrypt, identities_in, recipients_of
from keyturn.cli.commands import main
from tests.unit.checklist.git_repository import Repository


@pytest.fixture
def no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)


@pytest.fixture
def no_scanner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("detect_secrets", "detect_secrets.core.plugins.util"):  # may be imported already
        monkeypatch.setitem(sys.modules, name, None)
    source_control._rules.cache_clear()
    yield
    source_control._rules.cache_clear()


@pytest.mark.usefixtures("no_age")
@pytest.mark.parametrize(
    "read",
    [lambda: recipients_of(["age1"]), lambda: identities_in(b"AGE-SECRET-KEY-1"), lambda: decrypt(b"", [])],
    ids=["recipients", "identities", "a backup"],
)
def test_without_the_package_for_age_it_is_said_what_to_install(read: Callable[[], object]) -> None:
    with pytest.raises(NoBackup, match=r"the package pyrage, .* install keyturn\[cli\]"):
        read()


@pytest.mark.usefixtures("no_age")
def test_a_backup_names_the_missing_package_before_it_asks_the_cluster(tmp_path: Path) -> None:
    output = tmp_path / "new.age"
    done = CliRunner().invoke(
        main,
        ["backup", "--recipient", "age1", "--output", str(output), "--kubeconfig", str(tmp_path / "none")],
    )

    assert done.exit_code == 1
    assert done.stderr.startswith("Error: age files are written and read by the package pyrage, which ")
    assert not output.exists()


@pytest.mark.usefixtures("no_scanner")
def test_without_the_scanner_no_repository_passes(repository: Repository) -> None:
    done = repository.audit()

    assert (done.code, done.printed) == (2, "")
    assert "the package bc-detect-secrets" in done.errors
    assert "install keyturn[cli]" in done.errors

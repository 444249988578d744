"""What is in the image, and what is not."""

import ast
import hashlib
import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tarfile import TarInfo

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from keyturn import __version__
from keyturn.stores.providers.aws import AwsParameterStore, AwsSecretsManager
from release import image as images
from tests.conftest import ROOT
from tests.image.container import Container, Image
from tests.image.seconds import SECONDS

pytestmark = pytest.mark.timeout(SECONDS)
_LARGEST = 120_000_000
"""Bytes that a node fetches."""
_SITE = "opt/keyturn/lib/python3.13/site-packages"
_PROGRAMS = {"python", "python3", "python3.13", "keyturn", "kubectl-keyturn", "kubectl_complete-keyturn"}
_SHELLS = {
    "sh",
    "bash",
    "dash",
    "ash",
    "busybox",
    "zsh",
    "env",
    "apt",
    "apt-get",
    "dpkg",
    "pip",
    "pip3",
    "perl",
}
_NOT_IN_A_POD = {"kubernetes", "detect_secrets", "pyrage"}
"""What only commands at a desk need, the extra `cli` of pyproject.toml."""


@pytest.fixture(scope="module")
def entries(image: Image) -> list[TarInfo]:
    """Everything that its layers add."""
    return list(image.entries())


def paths(container: Container) -> Iterator[Path]:
    return (path for path in container.root.rglob("*") if container.root / "proc" not in path.parents)


def test_a_node_fetches_little(image: Image) -> None:
    print(f"the image is {image.size / 1e6:.1f} MB compressed")  # noqa: T201

    assert image.size <= _LARGEST


def test_no_program_gives_rights_to_who_starts_it(entries: list[TarInfo]) -> None:
    found = [entry.name for entry in entries if entry.mode & (stat.S_ISUID | stat.S_ISGID)]

    assert found == []


def test_all_is_roots_and_nothing_can_be_written(entries: list[TarInfo]) -> None:
    writable = {entry.name for entry in entries if entry.mode & stat.S_IWOTH and not entry.issym()}

    assert {(entry.uid, entry.gid) for entry in entries} == {(0, 0)}
    assert writable == {"tmp", "var/tmp"}


def test_there_is_an_interpreter_and_no_other_program(container: Container) -> None:
    found = {path.name for path in paths(container) if path.parent.name in {"bin", "sbin", "games"}}

    assert found == _PROGRAMS


def test_there_is_no_shell_and_no_installer_anywhere(container: Container) -> None:
    assert [path for path in paths(container) if path.name in _SHELLS and not path.is_dir()] == []


def test_exactly_what_the_lock_pins_is_installed(container: Container) -> None:
    told = container.python(
        "from importlib.metadata import distributions\n"
        "print(*(f'{one.name}=={one.version}' for one in distributions()))"
    )
    lock = (ROOT / "requirements-operator.txt").read_text()
    pinned = map(Requirement, re.findall(r"^(\S+==[^\\\n]+)", lock, re.MULTILINE))
    here = {"python_version": "3.13", "python_full_version": "3.13.5", "sys_platform": "linux"}
    desired = {
        f"{canonicalize_name(one.name)}{one.specifier}"
        for one in pinned
        if one.marker is None or one.marker.evaluate(here)
    }

    found = {
        f"{canonicalize_name(name)}=={version}"
        for name, _, version in (pair.partition("==") for pair in told.split())
    }
    assert found == desired | {f"keyturn=={__version__}"}
    assert not any(
        pair.startswith(("kubernetes==", "pip==", "setuptools==", "hatchling==")) for pair in found
    )


def imported() -> list[str]:
    """Name every module of others that our code imports, at its start or on first use."""
    found = set()
    for path in (ROOT / "operator" / "keyturn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module)
    return sorted(name for name in found if name.partition(".")[0] not in _NOT_IN_A_POD)


def test_whatever_our_code_imports_is_there(container: Container) -> None:
    names = imported()
    told = container.python(
        "import importlib, json, keyturn, pkgutil\n"
        f"names = {names!r}\n"
        "ours = [module.name for module in pkgutil.walk_packages(keyturn.__path__, 'keyturn.')]\n"
        "[importlib.import_module(name) for name in names + ours if not name.endswith('__main__')]\n"
        "print(len(ours))"
    )

    assert {"botocore.loaders", "google_crc32c", "liquid", "uvloop"} <= set(names)
    assert int(told) > 200


def test_nothing_that_only_commands_at_a_desk_need_can_be_imported(container: Container) -> None:
    told = container.python(
        "import importlib.util\n"
        f"names = {sorted(_NOT_IN_A_POD | {'unidiff', 'websocket', 'durationpy'})!r}\n"
        "print(*(name for name in names if importlib.util.find_spec(name)))"
    )

    assert told.split() == []


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("backup", "--recipient=age1", "--output=/new.age", "--namespace=shop"), "pyrage"),
        (("restore", "/etc/passwd", "--identity=/etc/passwd", "--namespace=shop"), "pyrage"),
        (("audit", "--repository=/"), "bc-detect-secrets"),
    ],
    ids=["backup", "restore", "audit --repository"],
)
def test_a_command_that_lacks_a_package_says_which(
    container: Container, command: tuple[str, ...], package: str
) -> None:
    done = container.keyturn(*command)

    assert (done.returncode, done.stdout) == (2 if command[0] == "audit" else 1, "")
    assert f"the package {package}, which the operator's image leaves out" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_interpreter_has_all_that_its_library_is_linked_to(container: Container) -> None:
    told = container.python(
        "import importlib, pathlib, sysconfig\n"
        "folder = pathlib.Path(sysconfig.get_path('stdlib'), 'lib-dynload')\n"
        "found = sorted({path.name.partition('.')[0] for path in folder.iterdir()})\n"
        "[importlib.import_module(name) for name in found]\n"
        "print(*found)"
    )

    assert {"_asyncio", "_bz2", "_ctypes", "_lzma", "_sqlite3", "_uuid"} <= set(told.split())


def test_the_services_of_aws_that_stores_ask_are_described(container: Container) -> None:
    services = (AwsSecretsManager.service, AwsParameterStore.service, "sts")

    told = container.python(
        "from keyturn.stores.providers.aws import client as aws\n"
        f"for name in {services!r}:\n"
        "    print(aws._model(name).service_name, aws._public(name, 'eu-central-1', fips=False))"
    )

    assert told.splitlines() == [f"{name} https://{name}.eu-central-1.amazonaws.com" for name in services]


def test_numbers_and_dates_are_formatted_as_in_english(container: Container) -> None:
    told = container.python(
        "import babel.dates, babel.numbers, datetime\n"
        "print(babel.numbers.format_decimal(12345.5, locale='en_US'))\n"
        "print(babel.dates.format_date(datetime.date(2026, 3, 1), locale='en'))"
    )

    assert told.splitlines() == ["12,345.5", "Mar 1, 2026"]


def test_every_host_is_trusted_that_debian_trusts(container: Container) -> None:
    told = container.python("import ssl; print(len(ssl.create_default_context().get_ca_certs()))")

    assert int(told) > 100


def test_time_zones_are_there(container: Container) -> None:
    assert container.python("import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Berlin'))") == "Europe/Berlin\n"


def test_nothing_is_compiled_when_the_operator_starts(container: Container) -> None:
    told = container.python(
        "import importlib._bootstrap_external as loading, sys\n"
        "compiled = []\n"
        "loading.SourceLoader.source_to_code = (lambda known: lambda self, data, path, **more:\n"
        "    compiled.append(path) or known(self, data, path, **more))(loading.SourceLoader.source_to_code)\n"
        "import keyturn.__main__, keyturn.controllers.manager\n"
        "print(*compiled)"
    )

    assert told.split() == []


def test_every_record_names_files_that_are_there(container: Container) -> None:
    site = container.root / _SITE
    missing = [
        line
        for record in site.glob("*.dist-info/RECORD")
        for line in record.read_text().splitlines()
        if not (site / line.rsplit(",", 2)[0]).exists()
    ]

    assert missing == []


def test_the_labels_say_what_it_is(image: Image) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image.labels.items()}
    inputs = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    command = ["git", "log", "-1", "--format=%H", "--", *inputs, "Dockerfile", ".dockerignore"]
    commit = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    assert labels.pop("revision").removesuffix("-dirty") == commit
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels.pop("created"))
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", labels.pop("base.digest"))
    assert labels == {
        "title": "Keyturn",
        "description": "A Kubernetes operator that owns the whole life of a secret",
        "version": __version__,
        "licenses": "Apache-2.0",
        "base.name": "keyturn.invalid/run-base:trixie",
    }


def test_the_archive_has_the_name_under_which_a_node_finds_it(image: Image) -> None:
    assert image.name == images.NAME == f"keyturn.invalid/keyturn:{__version__}"


def test_the_archive_reports_the_digest_that_a_registry_has_of_a_copy(archive: Path, image: Image) -> None:
    """As docs/install says how to find it."""
    command = ["tar", "-xOf", str(archive), "index.json"]
    told = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    manifest = subprocess.run(
        ["tar", "-xOf", str(archive), f"blobs/{image.digest.replace(':', '/')}"],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout

    assert json.loads(told)["manifests"][0]["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"

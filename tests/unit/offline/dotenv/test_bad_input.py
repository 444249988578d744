"""That each bad input gets one sentence, changes nothing, and is never quoted."""

import os
import subprocess
from pathlib import Path

import pytest

from keyturn.core.value import Value
from keyturn.offline.dotenv.document import quoted
from tests.support.console import BIN
from tests.unit.offline.dotenv.project_folder import Folder

_COMMANDS = (
    ("init",),
    ("init", "--rotate=TOKEN"),
    ("init", "--check"),
    ("render", "--to=dotenv"),
    ("render", "--to=compose"),
)
_BAD = {
    "NUL": (b"TOKEN=canary\0\n", "UTF-8"),
    "invalid UTF-8": (b"TOKEN=canary\xff\n", "UTF-8"),
    "an open quote": (b"A=1\nTOKEN='canary\n", "line 2"),
    "no assignment": (b"A=1\n\ncanary is here\n", "line 3"),
    "10 MB": (b"# canary\n" * 1_200_000, "1048576"),
    "1 MB": (b"# canary\n" * 100_000, "65536"),
    "references": (b"TOKEN=" + b"${A}" * 200, "more than 100"),
}
"""Contents, and what is named of each that is wrong."""


@pytest.fixture
def shop(folder: Folder) -> Folder:
    folder.example("TOKEN=\n")
    return folder


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
@pytest.mark.parametrize("bad", _BAD)
def test_a_bad_file_is_refused_and_left_alone(bad: str, command: tuple[str, ...], shop: Folder) -> None:
    content, named = _BAD[bad]
    shop.env(content)

    said = shop.refusal(*command)

    assert named in said
    assert ".env.development" in said
    assert "canary" not in said


@pytest.mark.parametrize("bad", _BAD)
def test_a_bad_example_is_refused(bad: str, shop: Folder) -> None:
    content, named = _BAD[bad]
    shop.example(content)

    said = shop.refusal("init")

    assert named in said
    assert "canary" not in said


def test_a_variable_that_is_there_twice_is_not_guessed_at(shop: Folder) -> None:
    shop.env("TOKEN=\nTOKEN=\n")

    assert "lines 1 and 2" in shop.refusal("init")


def test_of_two_files_none_is_written_where_one_cannot_be(shop: Folder) -> None:
    shop.env("TOKEN=\nTOKEN=\n", "production")

    shop.refusal("init", "--environment=development", "--environment=production")


@pytest.mark.parametrize(
    "hint",
    [
        "byts",
        "bytes lenght=32",
        "bytes length=many",
        "bytes length=8",
        "bytes encoding=raw",
        "ecKey publicKee=OTHER",
        "dockerConfig registry=r.test username=a passwordFrom='{name: LOST}'",
        "dockerConfig registry=r.test username=a passwordFrom='{name: TOKEN}'",
        "certificate commonName=a issuer='{secretRef: {name: ca}}'",
    ],
    ids=lambda text: text.partition(" ")[0],
)
def test_a_recipe_that_cannot_be_followed_is_refused(hint: str, shop: Folder) -> None:
    shop.example(f"OTHER=\n# keyturn: {hint}\nTOKEN=\n")

    assert "canary" not in shop.refusal("init")


# Files that are none


@pytest.mark.parametrize("name", [".env.development", ".env.production", ".env.example", ".gitignore"])
def test_a_link_is_not_followed(name: str, shop: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("TOKEN=\n")
    (shop.path / name).unlink(missing_ok=True)
    (shop.path / name).symlink_to(elsewhere)

    assert "is a link" in shop.refusal("init")
    assert elsewhere.read_text() == "TOKEN=\n"


def test_a_link_to_nowhere_is_not_followed(shop: Folder, tmp_path: Path) -> None:
    (shop.path / ".env.development").symlink_to(tmp_path / "nowhere")

    assert "is a link" in shop.refusal("init")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", [".env.development", ".env.example", ".gitignore"])
def test_a_folder_or_a_pipe_is_no_file(name: str, shop: Folder) -> None:
    path = shop.path / name
    path.unlink(missing_ok=True)
    path.mkdir()
    assert "is a folder" in shop.refusal("init")

    path.rmdir()
    os.mkfifo(path)
    assert "is a folder" in shop.refusal("init")


def test_where_there_is_no_example_it_says_what_to_write(folder: Folder) -> None:
    assert "write one, or name its folder" in folder.refusal("init")


def test_where_there_is_no_folder_it_says_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "nowhere")

    assert f"there is no folder {folder.path}; name one with --folder" in folder.refusal("init")


def as_a_person(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody whom rights bind: root without what passes over them, or whoever tests."""
    bound = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    return subprocess.run(
        [*(bound if os.getuid() == 0 else ()), BIN / "keyturn", *arguments],
        cwd=folder.path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", [".env.example", ".env.development", ".gitignore"])
def test_a_file_without_the_right_to_read_it_is_reported(name: str, shop: Folder) -> None:
    shop.put(name, "TOKEN=canary\n", 0o000)

    done = as_a_person(shop, "init")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {name} ")
    assert done.stderr.count("\n") == 1


def test_a_folder_without_the_right_to_write_is_reported(shop: Folder) -> None:
    shop.path.chmod(0o555)
    before = shop.everything()

    done = as_a_person(shop, "init")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    shop.path.chmod(0o755)
    assert shop.everything() == before


def test_a_full_disk_leaves_the_file_that_was_there(shop: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.env("A=1\nTOKEN=\n")
    shop.put(".gitignore", ".env\n.env.*\n!.env.example\nsecrets/\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    assert "No space left on device" in shop.refusal("init")
    assert list(shop.path.glob("*.tmp")) == []


def test_a_file_that_was_changed_meanwhile_is_left_alone(
    shop: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.env("TOKEN=\n")

    def written_while_somebody_saves(name: str, value: Value) -> str:
        shop.env("TOKEN=somebody's\n")
        return quoted(name, value)

    monkeypatch.setattr("keyturn.offline.dotenv.initialise.quoted", written_while_somebody_saves)

    done = shop.run("init")

    assert done.exit_code == 1
    assert "was changed meanwhile" in done.stderr
    assert shop.text() == "TOKEN=somebody's\n"


def test_two_that_fill_a_file_at_once_leave_the_values_of_one(shop: Folder) -> None:
    shop.example("".join(f"TOKEN_{number}=\n" for number in range(20)))
    commands = [
        subprocess.Popen([BIN / "keyturn", "init"], cwd=shop.path, stdout=subprocess.PIPE) for _ in range(4)
    ]

    output = [command.communicate(timeout=60)[0].decode() for command in commands]

    assert [command.returncode for command in commands] == [0] * 4
    assert sorted(".env.development is new" in text for text in output) == [False, False, False, True]


def test_what_programs_would_read_otherwise_is_not_written(
    shop: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever mistake of ours there may be: the file is read again before it takes its place."""
    shop.env("A=1\nTOKEN=\n")
    monkeypatch.setattr("keyturn.offline.dotenv.initialise.quoted", lambda name, _: f"another {name}")

    assert "cannot be changed so that programs read it right" in shop.refusal("init")

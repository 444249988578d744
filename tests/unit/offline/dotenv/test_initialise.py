"""What `keyturn init` writes, keeps, and leaves to a person."""

import base64
import os
import re
import stat
import subprocess
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization

from tests.unit.offline.dotenv.project_folder import Folder

_STRONG = "Zq8vT1nL6wYc3HdRk0JmXsBgUe9fPaIo"
_ROTATE = "keyturn init --environment development --rotate JWT_SECRET"
_IGNORED = b".env\n.env.*\n!.env.example\nsecrets/\n"


def columns(output: str) -> dict[str, list[str]]:
    lines = (re.split(r" {3,}", line) for line in output.splitlines())
    return {cells[0]: cells[1:] for cells in lines if len(cells) > 2}


def test_a_new_file_is_the_example_with_values(folder: Folder) -> None:
    folder.example("# top\n\nPORT=3000\nJWT_SECRET=change_me # signs\n\nexport DB_PASSWORD=\n# end")

    folder.init()

    jwt, password = folder.value("JWT_SECRET"), folder.value("DB_PASSWORD")
    desired = f"# top\n\nPORT=3000\nJWT_SECRET={jwt} # signs\n\nexport DB_PASSWORD={password}\n# end"
    assert folder.text().replace("'", "") == desired
    assert len(base64.b64decode(folder.value("JWT_SECRET"))) == 32
    assert len(folder.value("DB_PASSWORD")) == 40


def test_every_environment_has_values_of_its_own(shop: Folder) -> None:
    environments = ("development", "staging", "production")

    shop.run("init", *(f"--environment={name}" for name in environments))

    for name in ("JWT_SECRET", "TWOFA_ENCRYPTION_KEY", "POSTGRES_PASSWORD", "DATABASE_URL"):
        assert len({shop.value(name, environment) for environment in environments}) == 3
    assert {shop.value("PORT", environment) for environment in environments} == {"3000"}


def test_the_file_is_for_its_owner_alone_from_the_first_byte(
    shop: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look at the folder before rights are set, and when all is written and not yet in its place."""
    looks: list[dict[str, str]] = []
    for function in ("fchmod", "fsync"):
        monkeypatch.setattr(os, function, _looking_first(getattr(os, function), shop, looks))

    shop.run("init")

    desired = {".env.development.….tmp": "0o600"}
    assert [look for look in looks if any("development" in name for name in look)] == [desired, desired]
    assert list(shop.path.glob("*.tmp")) == []


def test_a_second_run_changes_no_byte_and_no_file(shop: Folder) -> None:
    shop.run("init")
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in shop.path.iterdir()}

    done = shop.run("init")

    assert ".env.development is unchanged" in done.output
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in shop.path.iterdir()} == before


@pytest.mark.parametrize("value", ["x", "'quoted'", '"a # b"', "change_me", "${OTHER}"])
def test_a_value_that_is_there_stays(value: str, folder: Folder) -> None:
    folder.example("JWT_SECRET=\nDB_PASSWORD=\n")
    folder.env(f"DB_PASSWORD=\nOTHER=y\nJWT_SECRET={value}\n")

    folder.init()

    assert f"\nOTHER=y\nJWT_SECRET={value}\n" in folder.text()
    assert folder.value("DB_PASSWORD")


@pytest.mark.parametrize("line", ["JWT_SECRET=\n", "JWT_SECRET=''\n", "JWT_SECRET= # sign\n", ""])
def test_what_is_empty_or_not_there_is_made(line: str, folder: Folder) -> None:
    folder.example("JWT_SECRET=\n")
    folder.env(f"A=1\n{line}Z=2 # unknown\n")

    folder.init()

    assert len(folder.value("JWT_SECRET")) == 44
    text = folder.text()
    assert text.startswith("A=1\n")
    assert "Z=2 # unknown\n" in text


def test_what_is_added_has_the_order_of_the_example(folder: Folder) -> None:
    folder.example("FIRST_TOKEN=\nB=1\nTOKEN=\nC=2\n")
    folder.env("A=1\n")

    folder.init()

    assert re.fullmatch(r"A=1\nFIRST_TOKEN=\S{43}\nB=1\nTOKEN=\S{43}\nC=2\n", folder.text())


def test_a_secret_is_added_above_what_reads_it(folder: Folder) -> None:
    folder.example("DB_PASSWORD=\nURL=pg://${DB_PASSWORD}@db\n")
    folder.env("# mine\nURL=pg://${DB_PASSWORD}@db\n")

    folder.init()

    assert folder.value("URL") == f"pg://{folder.value('DB_PASSWORD')}@db"


def test_it_prints_what_was_chosen_and_why_and_no_value(shop: Folder) -> None:
    output = shop.run("init").output

    found = columns(output)
    assert found["JWT_SECRET"] == ["made", "bytes length=32 encoding=base64", "its name, as class jwt-secret"]
    assert found["TWOFA_ENCRYPTION_KEY"] == ["made", "bytes length=32 encoding=hex", "its hint"]
    assert found["STRIPE_SECRET_KEY"] == [
        "missing",
        "given by a person",
        "its name: another service issues it",
    ]
    assert found["DATABASE_URL"] == ["copied", "-", "it reads POSTGRES_PASSWORD"]
    assert not any(shop.value(name) in output for name in ("JWT_SECRET", "POSTGRES_PASSWORD"))


def test_what_is_left_for_a_person_ends_with_3(shop: Folder) -> None:
    done = shop.run("init")

    assert done.exit_code == 3
    assert done.output.splitlines()[-1] == ".env.development: STRIPE_SECRET_KEY is missing"


def test_values_of_several_outputs_belong_together(folder: Folder) -> None:
    folder.example("# keyturn: ecKey publicKey=JWT_PUBLIC_KEY\nJWT_PRIVATE_KEY=\nJWT_PUBLIC_KEY=\n")

    folder.init()

    private = serialization.load_pem_private_key(folder.value("JWT_PRIVATE_KEY").encode(), None)
    assert serialization.load_pem_public_key(folder.value("JWT_PUBLIC_KEY").encode()) == private.public_key()


def test_one_of_two_that_belong_together_is_not_made_alone(folder: Folder) -> None:
    folder.example("# keyturn: ecKey publicKey=JWT_PUBLIC_KEY\nJWT_PRIVATE_KEY=\nJWT_PUBLIC_KEY=\n")
    folder.env("JWT_PRIVATE_KEY=mine\n")

    done = folder.run("init")

    assert done.exit_code == 3
    assert folder.value("JWT_PRIVATE_KEY") == "mine"
    assert "it belongs to JWT_PRIVATE_KEY, which is there: rotate that" in done.output


# Between environments


def test_a_value_that_two_environments_share_is_reported(shop: Folder) -> None:
    shop.run("init")
    shop.env(shop.text(), "production")

    done = shop.run("init", "--environment=production")

    assert done.exit_code == 3
    assert ".env.production: JWT_SECRET has the same value in .env.development\n" in done.output
    assert "PORT has" not in done.output


def test_a_value_is_compared_as_programs_read_it(folder: Folder) -> None:
    folder.example("JWT_SECRET=\n")
    folder.env("JWT_SECRET='same'\n")
    folder.env('export JWT_SECRET="same" # other words\n', "staging")

    done = folder.run("init", "--check")

    assert ".env.staging: JWT_SECRET has the same value in .env.development\n" in done.output


# .gitignore


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, _IGNORED),
        (b"", _IGNORED),
        (b"/dist/\n", b"/dist/\n" + _IGNORED),
        (b"/dist/", b"/dist/\n" + _IGNORED),
        (b"/dist/\r\n", b"/dist/\r\n" + _IGNORED.replace(b"\n", b"\r\n")),
        (_IGNORED, _IGNORED),
        (b"secrets/ \n.env\n.env.*\n# c\n!.env.example", b"secrets/ \n.env\n.env.*\n# c\n!.env.example"),
        (
            b".env\n!.env.example\n.env.*\nsecrets/\n",
            b".env\n!.env.example\n.env.*\nsecrets/\n!.env.example\n",
        ),
        (b"\xff\n.env\n", b"\xff\n.env\n.env.*\n!.env.example\nsecrets/\n"),
    ],
    ids=["none", "empty", "others", "no newline", "CRLF", "all", "in other order", "undone", "not UTF-8"],
)
def test_gitignore_gets_the_lines_that_it_lacks(before: bytes | None, after: bytes, shop: Folder) -> None:
    if before is not None:
        shop.put(".gitignore", before, 0o640)

    shop.run("init")
    shop.run("init")

    path = shop.path / ".gitignore"
    assert path.read_bytes() == after
    assert stat.S_IMODE(path.stat().st_mode) == (0o644 if before is None else 0o640)


@pytest.mark.parametrize("line", ["!.env.production", "!/.env.p*", r"!\.env", "!secrets/", "!*"])
def test_a_later_pattern_that_includes_a_file_again_fails_the_check_and_is_overruled(
    line: str, shop: Folder
) -> None:
    shop.example("A=1\n")
    shop.init("--environment=production")
    shop.put(".env", "A=1")
    (shop.path / "secrets" / "production").mkdir(parents=True)
    shop.put("secrets/production/a.txt", "x")
    subprocess.run(["git", "init", "-q"], cwd=shop.path, check=True)
    shop.put(".gitignore", _IGNORED + f"{line}\n".encode())
    paths = [".env", ".env.production", "secrets/production/a.txt"]
    assert not all(_git_ignores(shop, path) for path in paths)

    done = shop.run("init", "--check", "--environment=production")

    found = f".gitignore: line 5, {line}, may let Git commit secrets: move it above .env\n"
    assert (done.exit_code, done.output) == (1, found)
    shop.init("--environment=production")
    assert [path for path in (*paths, ".env.example") if _git_ignores(shop, path)] == paths
    assert shop.run("init", "--check", "--environment=production").exit_code == 0


@pytest.mark.parametrize("content", [b"!.env.local\n" + _IGNORED, _IGNORED + b"!dist/keep\n#!.env\n"])
def test_a_pattern_that_includes_no_such_file_passes_the_check(content: bytes, shop: Folder) -> None:
    shop.example("A=1\n")
    shop.init()
    shop.put(".gitignore", content)

    assert shop.run("init", "--check").exit_code == 0


def _git_ignores(shop: Folder, path: str) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=shop.path, check=False).returncode == 0


# Rights


def test_a_file_that_others_could_read_is_closed_without_a_change(folder: Folder) -> None:
    folder.example("A=1\n")
    path = folder.put(".env.development", "A=1\n", 0o644)

    output = folder.init()

    assert ".env.development is unchanged; until now other users could read it\n" in output
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("A=1\n", 0o600)


# --rotate


def test_only_the_named_value_is_replaced(shop: Folder) -> None:
    shop.run("init", "--environment=production")
    before = shop.values("production")
    text = shop.text("production")

    done = shop.run("init", "--environment=production", "--rotate=JWT_SECRET")

    after = shop.values("production")
    assert {name for name in before if before[name] != after[name]} == {"JWT_SECRET"}
    assert shop.text("production") == text.replace(
        str(before["JWT_SECRET"]), shop.value("JWT_SECRET", "production")
    )
    assert list(columns(done.output)) == ["NAME", "JWT_SECRET"]


def test_what_is_made_of_a_value_turns_with_it(folder: Folder) -> None:
    folder.example(
        "REGISTRY_PASSWORD=\n"
        "# keyturn: dockerConfig registry=r.test username=ci passwordFrom='{name: REGISTRY_PASSWORD}'\n"
        "DOCKER_CONFIG_JSON=\nJWT_SECRET=\n"
    )
    folder.init()
    before = folder.values()

    folder.init("--rotate=REGISTRY_PASSWORD")

    after = folder.values()
    assert after["JWT_SECRET"] == before["JWT_SECRET"]
    assert str(after["REGISTRY_PASSWORD"]) in str(after["DOCKER_CONFIG_JSON"])


def test_a_pair_turns_together(folder: Folder) -> None:
    folder.example("# keyturn: ecKey publicKey=JWT_PUBLIC_KEY\nJWT_PRIVATE_KEY=\nJWT_PUBLIC_KEY=\n")
    folder.init()
    before = folder.values()

    folder.init("--rotate=JWT_PUBLIC_KEY")

    assert all(folder.values()[name] != before[name] for name in before)


def test_a_rotation_makes_nothing_else_that_is_missing(folder: Folder) -> None:
    folder.example("JWT_SECRET=\nDB_PASSWORD=\n")
    folder.env("JWT_SECRET=old\nDB_PASSWORD=\n")

    folder.run("init", "--rotate=JWT_SECRET")

    assert re.fullmatch(r"JWT_SECRET=\S{44}\nDB_PASSWORD=\n", folder.text())


@pytest.mark.parametrize("name", ["JWT_SECRTE", "NODE_ENV", "STRIPE_SECRET_KEY", "DATABASE_URL"])
def test_what_is_not_made_here_is_not_rotated(name: str, shop: Folder) -> None:
    shop.run("init")

    assert name in shop.refusal("init", "--rotate=JWT_SECRET", f"--rotate={name}")


def test_a_value_that_is_not_there_is_not_rotated(folder: Folder) -> None:
    folder.example("JWT_SECRET=\n")
    assert "keyturn init --environment development makes it" in folder.refusal("init", "--rotate=JWT_SECRET")

    folder.env("JWT_SECRET=\n")
    assert "has no value of JWT_SECRET to replace" in folder.refusal("init", "--rotate=JWT_SECRET")


# --check


def test_a_complete_folder_passes(folder: Folder) -> None:
    folder.example("JWT_SECRET=x\nPORT=\n")
    folder.init("--environment=development", "--environment=production")
    before = folder.everything()

    assert folder.init("--check") == ""
    assert folder.everything() == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("A=1\n", ".env.development: JWT_SECRET is missing\n"),
        ("JWT_SECRET=\n", ".env.development: JWT_SECRET is missing\n"),
        (
            "JWT_SECRET=change_me\n",
            f".env.development: JWT_SECRET is still the text of .env.example; {_ROTATE}\n",
        ),
        (
            "JWT_SECRET=abc\n",
            f".env.development: JWT_SECRET has fewer than 32 characters or 128 random bits; {_ROTATE}\n",
        ),
        (
            f"URL=${{JWT_SECRET}}\nJWT_SECRET={_STRONG}\n",
            ".env.development: URL reads JWT_SECRET, which is not set above it\n",
        ),
    ],
    ids=["absent", "empty", "a sample", "weak", "the wrong order"],
)
def test_what_is_wrong_fails_the_check_and_is_not_fixed(content: str, sentence: str, folder: Folder) -> None:
    folder.example("JWT_SECRET=change_me\n")
    folder.put(".gitignore", _IGNORED)
    folder.env(content)
    before = folder.everything()

    done = folder.run("init", "--check")

    assert (done.exit_code, done.output) == (1, sentence)
    assert folder.everything() == before


def test_a_check_finds_files_that_are_not_there_or_open_or_not_ignored(folder: Folder) -> None:
    folder.example("A=1\n")
    folder.put(".env.production", "A=1\n", 0o640)
    folder.put(".gitignore", ".env\n.env.*\n!.env.example\n")

    done = folder.run("init", "--check", "--environment=staging", "--environment=production")

    assert done.exit_code == 1
    assert done.output.splitlines() == [
        ".gitignore: lacks the line secrets/",
        ".env.staging: is not there; keyturn init --environment staging",
        ".env.production: can be read by others; chmod 600, or keyturn init",
    ]


def test_without_a_word_every_file_that_is_there_is_checked(folder: Folder) -> None:
    folder.example("TOKEN=\n")
    folder.put(".gitignore", _IGNORED)
    folder.env("TOKEN=\n", "staging")
    folder.env("TOKEN=\n", "production")

    lines = folder.run("init", "--check").output.splitlines()

    assert lines == [".env.production: TOKEN is missing", ".env.staging: TOKEN is missing"]


def _looking_first(
    function: Callable[..., None], folder: Folder, looks: list[dict[str, str]]
) -> Callable[..., None]:
    def look(opened: int, *arguments: int) -> None:
        fresh = [path for path in folder.path.iterdir() if ".tmp" in path.name]
        looks.append(
            {re.sub(r"\w{8}\.tmp$", "….tmp", path.name): oct(path.stat().st_mode & 0o777) for path in fresh}
        )
        function(opened, *arguments)

    return look


# .env, and environments of any name


def test_the_quick_setup_of_the_guide_fills_a_copy_of_the_example(folder: Folder) -> None:
    folder.example("PORT=3000\nJWT_SECRET=\nTWOFA_ENCRYPTION_KEY=\nREDIS_PASSWORD=\n")
    folder.put(".env", (folder.path / ".env.example").read_bytes())

    assert ".env: can be read by others; chmod 600, or keyturn init\n" in folder.run("init", "--check").output
    assert ".env is changed; until now other users could read it" in folder.init()
    assert folder.init("--check") == ""
    assert [path.name for path in sorted(folder.path.glob(".env*"))] == [".env", ".env.example"]
    assert "secrets/jwt_secret.txt" in folder.run("render", "--to=compose").output
    assert folder.process("run-with", "--", "sh", "-c", "test ${#JWT_SECRET} = 44").returncode == 0
    assert "is the file that is read" in folder.refusal("render", "--to=dotenv")


@pytest.mark.parametrize("kind", ["absent", "generated", "a folder", "beside the usual file"])
def test_without_an_own_env_the_development_file_is_filled(kind: str, folder: Folder) -> None:
    folder.example("JWT_SECRET=\n")
    match kind:
        case "generated":
            folder.put(".env", "# Made by keyturn render of .env.staging\nJWT_SECRET=\n")
        case "a folder":  # of Python packages
            (folder.path / ".env").mkdir()
        case "beside the usual file":
            folder.env("")
            folder.put(".env", "")

    folder.init()

    assert folder.value("JWT_SECRET")


def test_an_environment_may_have_any_name_and_its_values_are_compared(folder: Folder) -> None:
    folder.example("JWT_SECRET=\n")
    folder.init("--environment=preview")
    folder.env(folder.text("preview"), "production")
    folder.env(folder.text("preview"), "preview.local")
    folder.put(".env.sample", "JWT_SECRET=x\n")

    assert folder.run("init", "--check").output.splitlines() == [
        ".env.preview: JWT_SECRET has the same value in .env.production",
        ".env.preview.local: JWT_SECRET has the same value in .env.production",
        ".env.production: JWT_SECRET has the same value in .env.preview",
        ".env.production: JWT_SECRET has the same value in .env.preview.local",
    ]


@pytest.mark.parametrize("name", ["../production", "example", "", "a.b", ".", "prod "])
def test_an_environment_that_is_no_part_of_a_file_name_is_refused(name: str, shop: Folder) -> None:
    for command in (("init",), ("render", "--to=dotenv"), ("run-with", "true")):
        done = shop.run(command[0], f"--environment={name}", *command[1:])

        assert done.exit_code == 2
        assert "write letters, digits, - and _, such as staging" in done.stderr

"""What `keyturn render` writes, for whom, and what it never prints."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from keyturn.offline.dotenv import files
from keyturn.offline.dotenv.files import Refused
from tests.unit.offline.dotenv import docker_compose
from tests.unit.offline.dotenv.env_readers import READERS
from tests.unit.offline.dotenv.project_folder import EXAMPLE, Folder

_SECRETS = ("jwt_secret", "twofa_encryption_key", "postgres_password", "database_url", "stripe_secret_key")


@pytest.fixture
def full(shop: Folder) -> Folder:
    """A project with a complete file of each environment."""
    for environment in ("development", "production"):
        shop.run("init", f"--environment={environment}")
        shop.env(
            shop.text(environment).replace("STRIPE_SECRET_KEY=", "STRIPE_SECRET_KEY='it\"s # $ecret'"),
            environment,
        )
    return shop


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rendered(folder: Folder, *arguments: str) -> str:
    done = folder.run("render", *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


# dotenv


@pytest.mark.parametrize("reader", READERS)
def test_one_file_reads_the_same_for_everybody(reader: str, full: Folder) -> None:
    rendered(full, "--to=dotenv", "--environment=production")

    read = READERS[reader](full.path / ".env")

    assert {name: read[name] for name in full.values("production")} == full.values("production")


def test_it_is_for_its_owner_alone_and_says_where_it_is_from(full: Folder) -> None:
    output = rendered(full, "--to=dotenv", "--environment=production")

    path = full.path / ".env"
    assert mode(path) == 0o600
    assert path.read_text().startswith("# Made by keyturn render of .env.production")
    assert output == f"{path} has the 8 variables of .env.production\n"


def test_a_file_that_was_rendered_is_replaced(full: Folder) -> None:
    rendered(full, "--to=dotenv")
    rendered(full, "--to=dotenv", "--environment=production")

    assert full.value("JWT_SECRET", "production") in (full.path / ".env").read_text()


def test_a_file_of_a_person_is_repaired_and_keeps_its_values(full: Folder) -> None:
    path = full.put(".env", f"{EXAMPLE}OWN=1\n".replace("PORT=3000", "PORT=4000 # mine"), 0o644)
    before = path.read_text()

    output = rendered(full, "--to=dotenv")

    values = full.values()
    expected = before.replace("=your_jwt_secret_here", f"={values['JWT_SECRET']}")
    for name in ("TWOFA_ENCRYPTION_KEY", "POSTGRES_PASSWORD"):
        quote = "'" if str(values[name]).startswith("~") else ""  # which a shell would expand
        expected = expected.replace(f"{name}=\n", f"{name}={quote}{values[name]}{quote}\n")
    assert re.sub(r"STRIPE_SECRET_KEY=.*", "STRIPE_SECRET_KEY=", path.read_text()) == expected
    assert dotenv_values(path)["STRIPE_SECRET_KEY"] == values["STRIPE_SECRET_KEY"]
    assert mode(path) == 0o600
    assert output == f"{path} got 4 values of .env.development; its own stay\n"


def test_another_file_of_a_person_is_not_replaced(full: Folder) -> None:
    path = full.put("shop.yaml", "kind: Secret\n")

    assert str(path) in full.refusal("render", "--to=kubernetes", "--output", path)
    assert path.read_text() == "kind: Secret\n"


# compose


def test_each_secret_has_a_file_that_only_its_owner_reads(full: Folder) -> None:
    rendered(full, "--to=compose", "--environment=production")

    home = full.path / "secrets" / "production"
    assert {path.name: (path.read_text(), mode(path)) for path in home.iterdir()} == {
        f"{name}.txt": (full.value(name.upper(), "production"), 0o400) for name in _SECRETS
    }
    assert (mode(home), mode(home.parent)) == (0o700, 0o700)


def test_the_snippet_is_a_compose_file_whose_secrets_are_there(full: Folder) -> None:
    full.put("secrets.yaml", rendered(full, "--to=compose", "--environment=production"))
    used = "".join(f"    - {name}\n" for name in _SECRETS)
    full.put("compose.yaml", f"services:\n  api:\n    image: shop\n    secrets:\n{used}")

    project = docker_compose.config(full.path / "compose.yaml", full.path / "secrets.yaml")

    assert {name: one["file"] for name, one in project["secrets"].items()} == {
        name: str(full.path / "secrets" / "production" / f"{name}.txt") for name in _SECRETS
    }
    assert [one["source"] for one in project["services"]["api"]["secrets"]] == list(_SECRETS)


def test_the_snippet_can_be_a_file(full: Folder) -> None:
    path = full.path / "compose.secrets.yaml"

    output = rendered(full, "--to=compose", "--output", str(path))

    assert output == ""
    assert path.read_text().startswith("# Made by keyturn render of .env.development:")
    assert yaml.safe_load(path.read_text())["secrets"].keys() == set(_SECRETS)


def test_what_is_right_is_not_touched_since_it_may_be_mounted(full: Folder) -> None:
    rendered(full, "--to=compose")
    home = full.path / "secrets" / "development"
    before = {path.name: path.stat().st_ino for path in home.iterdir()}
    full.run("init", "--rotate=JWT_SECRET")

    done = full.run("render", "--to=compose")

    assert {path.name for path in home.iterdir() if path.stat().st_ino != before[path.name]} == {
        "jwt_secret.txt"
    }
    assert "5 files, 1 written" in done.stderr


def test_a_file_of_no_variable_is_reported_and_left(full: Folder) -> None:
    rendered(full, "--to=compose")
    stray = full.path / "secrets" / "development" / "old.txt"
    stray.write_text("x")

    assert str(stray) in full.run("render", "--to=compose").stderr
    assert stray.exists()


def test_files_that_others_could_read_are_closed(full: Folder) -> None:
    rendered(full, "--to=compose")
    home = full.path / "secrets" / "development"
    home.parent.chmod(0o755)
    home.chmod(0o755)
    (home / "jwt_secret.txt").chmod(0o644)

    rendered(full, "--to=compose")

    assert (mode(home.parent), mode(home), mode(home / "jwt_secret.txt")) == (0o700, 0o700, 0o400)


@pytest.mark.parametrize("place", ["secrets", "secrets/development"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(place: str, full: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (full.path / place).parent.mkdir(exist_ok=True, mode=0o700)
    (full.path / place).symlink_to(elsewhere)

    assert "is no folder" in full.refusal("render", "--to=compose")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("form", ["compose", "dotenv"])
def test_the_secrets_are_kept_out_of_git(form: str, full: Folder) -> None:
    (full.path / ".gitignore").unlink()

    rendered(full, f"--to={form}")

    assert (full.path / ".gitignore").read_text() == ".env\n.env.*\n!.env.example\nsecrets/\n"


@pytest.fixture
def no_gitignore(full: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to write a .gitignore, as in a folder that is mounted read-only; a mode refuses root nothing."""
    (full.path / ".gitignore").unlink()
    write = files.write

    def refuse(path: Path, *arguments: Any, **named: Any) -> None:
        if path.name == ".gitignore":
            raise Refused(f"{path}: Read-only file system")
        write(path, *arguments, **named)

    monkeypatch.setattr(files, "write", refuse)


@pytest.mark.usefixtures("no_gitignore")
@pytest.mark.parametrize("elsewhere", ["../run/.env", "run/../../run/.env"])
def test_a_file_of_another_folder_changes_none(elsewhere: str, full: Folder) -> None:
    for place in (full.path / "run", full.path.parent / "run"):
        place.mkdir()
    output = full.path / elsewhere

    done = full.run("render", "--to=dotenv", "--output", output)

    assert (done.exit_code, done.stderr) == (0, "")
    assert output.exists()


@pytest.mark.usefixtures("no_gitignore")
def test_a_gitignore_that_cannot_be_written_is_a_warning(full: Folder) -> None:
    done = full.run("render", "--to=dotenv")

    assert done.exit_code == 0
    assert done.stderr == f"Git may commit {full.path}/.env: {full.path}/.gitignore: Read-only file system\n"
    assert (full.path / ".env").exists()


def test_two_variables_of_one_name_are_refused(folder: Folder) -> None:
    folder.example("TOKEN=\n# keyturn: uuid\ntoken=\n")
    folder.init()

    assert "another variable would be the same secret; rename one" in folder.refusal("render", "--to=compose")


def test_a_secret_that_nothing_declares_is_reported_and_left_out(full: Folder) -> None:
    full.env(full.text() + "EXTRA_TOKEN=canary\nEXTRA=x\n")

    done = full.run("render", "--to=compose")

    assert "EXTRA_TOKEN is left out" in done.stderr.splitlines()[0]
    assert "extra" not in done.stdout.lower()


# Both


@pytest.mark.parametrize("form", ["dotenv", "compose"])
@pytest.mark.parametrize(
    "content",
    [None, "TOKEN=\n", "", "TOKEN=x\nURL=${LOST}\n"],
    ids=["no file", "empty", "absent", "a reference to nothing"],
)
def test_nothing_is_written_of_what_is_incomplete(form: str, content: str | None, folder: Folder) -> None:
    folder.example("TOKEN=\n")
    if content is not None:
        folder.env(content)

    assert folder.refusal("render", f"--to={form}")


def test_this_machine_s_environment_does_not_get_in(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOST", "mine")
    folder.example("A=1\n")
    folder.env("A=${LOST}\n")

    assert "A reads by ${…} what is not set" in folder.refusal("render", "--to=dotenv")


# kubernetes


def declared(folder: Folder, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(rendered(folder, "--to=kubernetes", *arguments))
    return found


def test_the_declaration_says_how_values_are_made(shop: Folder) -> None:
    body = declared(shop)

    assert body["metadata"] == {"name": "shop-secrets"}
    assert body["spec"] == {
        "target": {
            "template": {"data": {"DATABASE_URL": "postgresql://shop:{{ POSTGRES_PASSWORD }}@db:5432/shop"}}
        },
        "data": [
            {
                "name": "JWT_SECRET",
                "className": "jwt-secret",
                "generate": {"bytes": {"length": 32, "encoding": "base64"}},
            },
            {"name": "TWOFA_ENCRYPTION_KEY", "generate": {"bytes": {"length": 32, "encoding": "hex"}}},
            {
                "name": "POSTGRES_PASSWORD",
                "className": "database-password",
                "generate": {"password": {"length": 40}},
            },
        ],
    }


def test_what_it_leaves_out_is_reported_above_it(shop: Folder) -> None:
    lines = rendered(shop, "--to=kubernetes").splitlines()

    assert lines[:2] == [
        "# Issued by other services, so not here: STRIPE_SECRET_KEY; add them with `from` and a SecretStore.",
        "# No secrets, so not here: NODE_ENV, PORT, JWT_EXPIRES_IN; a ConfigMap holds them.",
    ]


def test_it_holds_no_value_of_any_environment(full: Folder) -> None:
    text = rendered(full, "--to=kubernetes", "--environment=production")

    values = [
        text for environment in ("development", "production") for text in full.values(environment).values()
    ]
    assert [value for value in values if value and len(value) > 15 and value in text] == []


@pytest.mark.parametrize(
    ("example", "templates", "literals"),
    [
        (
            "HOST=db\nPASSWORD=\nURL=pg://${PASSWORD}@${HOST}\n",
            {"URL": "pg://{{ PASSWORD }}@{{ HOST }}"},
            {"HOST": "db"},
        ),
        ("PASSWORD=\nURL=pg://${PASSWORD}@${HOST:-db}\n", {"URL": "pg://{{ PASSWORD }}@db"}, {}),
        (
            "PASSWORD=\nA=a:${PASSWORD}\nURL=pg://${A}@db\n",
            {"A": "a:{{ PASSWORD }}", "URL": "pg://a:{{ PASSWORD }}@db"},
            {},
        ),
        ("PASSWORD=\nA={{ x }}${PASSWORD}\n", {"A": "{% raw %}{{ x }}{% endraw %}{{ PASSWORD }}"}, {}),
        ("TOKEN=\nSMTP_PASSWORD=\nMAIL=smtp://a:${SMTP_PASSWORD}@m\n", {}, {}),
    ],
    ids=["a literal", "a default", "by way of another", "braces", "of what is not made here"],
)
def test_references_become_templates(
    example: str, templates: dict[str, str], literals: dict[str, str], folder: Folder
) -> None:
    folder.example(example)

    spec = declared(folder)["spec"]

    assert spec.get("target", {}).get("template", {}).get("data", {}) == templates
    assert {one["name"]: one["literal"] for one in spec["data"] if "literal" in one} == literals


def test_a_pair_is_one_item_with_two_keys(folder: Folder) -> None:
    folder.example("# keyturn: ecKey publicKey=JWT_PUBLIC_KEY\nJWT_PRIVATE_KEY=\nJWT_PUBLIC_KEY=\n")

    assert declared(folder)["spec"]["data"] == [
        {
            "name": "JWT_PRIVATE_KEY",
            "generate": {"ecKey": {}},
            "keys": {"privateKey": "JWT_PRIVATE_KEY", "publicKey": "JWT_PUBLIC_KEY"},
        }
    ]


@pytest.mark.parametrize("name", ["Shop", "a/b", "-a", "a" * 64])
def test_a_name_that_no_secret_can_have_is_refused(name: str, shop: Folder) -> None:
    assert f"{name!r} cannot be a Secret's name" in shop.refusal(
        "render", "--to=kubernetes", f"--name={name}"
    )


def test_the_name_is_made_of_the_folder_s(folder: Folder) -> None:
    (folder.path / "My App 2").mkdir()
    other = type(folder)(folder.path / "My App 2")
    other.example("TOKEN=\n")

    assert declared(other)["metadata"]["name"] == "my-app-2-secrets"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(("--to=dotenv", "--name=a"), "belong to --to kubernetes"), ((), "Missing option '--to'")],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], sentence: str, full: Folder) -> None:
    before = full.everything()

    done = full.run("render", *arguments)

    assert done.exit_code == 2
    assert sentence in re.sub(r"\s+", " ", done.stderr)
    assert full.everything() == before

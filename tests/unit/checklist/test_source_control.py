"""A secret in a repository or its history is found, wherever it hides; an innocent repository passes."""

import base64
import os
import random
import secrets
import string
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from keyturn.checklist import git
from keyturn.checklist.source_control import hits, keys_in
from tests.conftest import ROOT
from tests.leaks.scan import leaks
from tests.support.cases import case, cases
from tests.unit.checklist.git_repository import Repository, audit

_LETTERS = string.ascii_uppercase + "234567"


def aws_key() -> str:
    return "AKIA" + "".join(secrets.choice(_LETTERS) for _ in range(16))


def github_token() -> str:
    return "ghp_" + "".join(secrets.choice(string.ascii_letters) for _ in range(36))


def private_key() -> str:
    body = base64.b64encode(secrets.token_bytes(48)).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n{body}\n-----END RSA PRIVATE KEY-----"


def login() -> str:
    return f"postgresql://shop:{secrets.token_urlsafe(16)}@db.shop.test/shop"


def jwt() -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    return f"{header}.{header}.{secrets.token_urlsafe(32)}"


def secret_manifest(value: str, block: str = "data") -> str:
    text = base64.b64encode(value.encode()).decode() if block == "data" else value
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\n{block}:\n  password: {text}\n"


def test_an_innocent_repository_passes(repository: Repository) -> None:
    repository.commit(
        {"app.py": "print('hello')\n", ".env.example": "PASSWORD=\nAPI_KEY=changeme\nPORT=80\n"}
    )

    done = repository.audit()

    assert (done.code, done.found("Fail"), done.found("Unknown")) == (0, [], [])


@pytest.mark.parametrize(
    "make", [aws_key, github_token, private_key, login, jwt], ids=lambda make: make.__name__
)
def test_what_looks_issued_is_found_with_its_line(repository: Repository, make: Callable[[], str]) -> None:
    repository.commit({"src/settings.py": f"# settings\n\nTOKEN = '''{make()}'''\n"})

    done = repository.audit()

    (found,) = [one for one in done.document["findings"] if one["verdict"] == "Fail"]
    assert done.code == 1
    assert found["where"] == "src/settings.py"
    assert found["line"] == 3
    assert found["remedy"]


@pytest.mark.parametrize("first", ["n", "r", "a"])
@pytest.mark.parametrize(
    "end", ["\n", "\\n", "\\\\n", "\\\n"], ids=["new line", "escaped", "escaped twice", "continued line"]
)
def test_a_private_key_is_found_whatever_letter_it_begins_with(first: str, end: str) -> None:
    body = first + base64.b64encode(secrets.token_bytes(45)).decode()

    ((_, _, found),) = hits(
        "a.py", f"KEY = '-----BEGIN PRIVATE KEY-----{end}{body}{end}-----END PRIVATE KEY-----'\n"
    )

    assert body.encode() in found.reveal()


def test_what_was_deleted_is_found_in_the_history(repository: Repository) -> None:
    repository.commit({"settings.py": f"TOKEN = '{aws_key()}'\n"})
    repository.commit({"settings.py": ""})

    (found,) = repository.audit().found("Fail")

    assert found[0] == "settings.py"
    assert "held in commit" in found[1]


def test_what_only_a_merge_brought_is_found(repository: Repository) -> None:
    repository.commit({"a": "1\n2\n3\n"})
    repository.git("checkout", "--quiet", "-b", "other")
    repository.commit({"a": "1\n2b\n3\n"})
    repository.git("checkout", "--quiet", "main")
    repository.commit({"b": "1\n"})
    repository.git("merge", "--quiet", "--no-commit", "other")
    repository.commit({"a": f"1\n2b\n3\n{aws_key()}\n"})
    repository.commit({"a": ""})

    assert [where for where, _ in repository.audit().found("Fail")] == ["a"]


def test_what_another_branch_or_a_stash_holds_is_found(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "other")
    repository.commit({"branch.py": aws_key()})
    repository.git("checkout", "--quiet", "main")
    repository.write({"README.md": aws_key()})
    repository.git("stash")

    assert {where for where, _ in repository.audit().found("Fail")} == {"branch.py", "README.md"}


def test_what_another_working_tree_or_a_bare_repository_holds_is_found(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("worktree", "add", "--quiet", "--detach", "../other")
    other = Repository(tmp_path / "other")
    other.commit({"detached.py": aws_key()})
    repository.write({"README.md": aws_key()})
    repository.git("stash")
    (tmp_path / "bare").mkdir()
    bare = tmp_path / "bare" / "shop.git"
    (repository.folder / ".git").rename(bare)
    Repository(bare).git("config", "core.bare", "true")

    found = audit(bare)

    assert {where for where, _ in found.found("Fail")} == {"README.md", "detached.py"}
    assert found.found("Unknown") == []


def test_a_value_that_came_back_to_an_older_version_is_not_lost(repository: Repository) -> None:
    key = aws_key()
    repository.commit({"a": f"x\n{key}\n"})
    repository.commit({"a": f"x\n{key}\nz\n"})
    repository.commit({"a": f"x\n{key}\n"})
    repository.commit({"a": ""})

    assert len(repository.audit().found("Fail")) == 1


def test_one_secret_in_many_commits_is_one_finding(repository: Repository) -> None:
    key = aws_key()
    for number in range(5):
        repository.commit({"a": f"{number} = '{key}'\n"})

    assert len(repository.audit().found("Fail")) == 1


@pytest.mark.parametrize("block", ["data", "stringData"])
def test_a_manifest_with_values_is_found_and_its_keys_are_named(repository: Repository, block: str) -> None:
    repository.commit({"deploy/secret.yaml": "a: 1\n---\n" + secret_manifest("Tr0ub4dor", block)})

    (found,) = repository.audit().found("Fail")

    assert found == ("deploy/secret.yaml", "a Secret has values in the clear: password")


def test_a_value_with_a_dollar_is_no_variable(repository: Repository) -> None:
    repository.commit({"secret.yaml": secret_manifest("Kq8$vT2!mZ9@rW4#", "stringData")})

    assert [where for where, _ in repository.audit().found("Fail")] == ["secret.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        secret_manifest("changeme"),
        secret_manifest("{{ .Values.password }}", "stringData"),
        secret_manifest("${PASSWORD}", "stringData"),
        secret_manifest("$password", "stringData"),
        secret_manifest("postgres://shop:${DB_PASS:-none}@db/shop", "stringData"),
        secret_manifest("postgres://shop:$DB_PASS@db/shop", "stringData"),
        secret_manifest("http://$user:$pass@h", "stringData"),
        "apiVersion: v1\nkind: Secret\ndata:\n  password: <base64-encoded-password>\n",
        "apiVersion: v1\nkind: Secret\ndata:\n  password: {{ .Values.password | b64enc }}\n",
        "apiVersion: v1\nkind: SealedSecret\nspec: {encryptedData: {password: AgBy3i}}\n",
        "apiVersion: v1\nkind: Secret\nstringData: {password: 'ENC[AES256_GCM,data:x]'}\nsops: {version: 3}\n",
        secret_manifest("Tr0ub4dor", "stringData").replace("dor", "dor  # pragma: allowlist secret"),
    ],
    ids=[
        "default",
        "helm",
        "envsubst",
        "variable",
        "variable with default",
        "variable in a URL",
        "lower case",
        "guide",
        "template",
        "sealed",
        "sops",
        "allowed",
    ],
)
def test_a_manifest_without_real_values_passes(repository: Repository, text: str) -> None:
    repository.commit({"secret.yaml": text})

    assert repository.audit().found("Fail") == []


def test_a_template_of_a_manifest_is_read_though_it_is_no_yaml_yet(repository: Repository) -> None:
    text = "{{- if .Values.db }}\n" + secret_manifest("Tr0ub4dor") + "  other: {{ .Values.x }}\n{{- end }}\n"
    repository.commit({"templates/secret.yaml": text})

    assert [where for where, _ in repository.audit().found("Fail")] == ["templates/secret.yaml"]


def test_a_missing_line_of_gitignore_is_found(repository: Repository) -> None:
    repository.commit({".gitignore": ".env\n"})

    (found,) = repository.audit().found("Fail")

    assert found == (
        ".gitignore",
        "no .gitignore of the repository keeps .env.development, .env.production out of Git",
    )


def test_a_line_that_only_this_clone_has_does_not_count(repository: Repository) -> None:
    repository.commit({".gitignore": ""})
    (repository.folder / ".git" / "info" / "exclude").write_text(".env\n.env.*\n")

    assert [where for where, _ in repository.audit().found("Fail")] == [".gitignore"]


def test_a_committed_env_file_is_found_even_after_it_was_taken_out(repository: Repository) -> None:
    repository.commit({"app/.env": "A=1\n", ".env.production": "B=1\n"})
    repository.git("rm", "--quiet", ".env.production")
    repository.commit({})

    assert {where for where, _ in repository.audit().found("Fail")} == {"app/.env", ".env.production"}


@pytest.mark.parametrize(
    ("text", "is_real"),
    [
        ("API_KEY={}", True),
        ("export JWT_SECRET='{}'", True),
        ("DATABASE_URL=postgres://shop:{}@db/shop", True),
        ("DATABASE_URL=postgres://user:password@localhost/shop", False),
        ("API_KEY=your-api-key-here", False),
        ("API_KEY=acme_xxxxxxxxxxxxxxxxxxxxxxxx", False),
        ("API_KEY=pk123abcdXXXXXXXXXX9abqZ7Lm2Vt", False),
        ("API_KEY=TODOfillmeinlater0987qZ7Lm2VtR", False),
        ("API_KEY=qTodo7Vb2XxXx9Kd8mRw3Zp5Ln4Ts6Yc", True),
        ("API_KEY=<from the vault>", False),
        ("GREETING=hello-and-welcome-to-our-shop-of-shops", False),
    ],
)
def test_a_template_of_env_files_holds_no_real_value(
    repository: Repository, text: str, *, is_real: bool
) -> None:
    repository.commit({".env.example": text.format(secrets.token_urlsafe(24)) + "\n"})

    found = repository.audit().found("Fail")

    assert bool(found) is is_real
    assert all(where == ".env.example" and "what looks like" in evidence for where, evidence in found)


def test_examples_of_documentation_are_no_secrets(repository: Repository) -> None:
    repository.commit(
        {
            "docs.md": "AKIAIOSFODNN7EXAMPLE\npostgres://user:password@localhost/shop\nredis://:changeme@cache\n"
        }
    )

    assert repository.audit().code == 0


# What is in the way


def test_what_git_is_configured_to_take_for_binary_is_read_all_the_same(repository: Repository) -> None:
    repository.commit({".gitattributes": "* -diff\n", "a.txt": aws_key()})
    repository.commit({"a.txt": ""})

    assert [where for where, _ in repository.audit().found("Fail")] == ["a.txt"]


def test_what_is_not_looked_at_is_counted(repository: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(aws_key())
    (repository.folder / "out").symlink_to(outside)
    (repository.folder / "in").symlink_to("README.md")
    repository.commit({"image": b"\0\1\2" * 100, "huge": "x\n" * 600_000})
    os.mkfifo(repository.folder / "pipe")

    done = repository.audit()

    (skipped,) = done.found("NotApplicable")
    assert done.code == 0
    assert "2 links, and files that you may not read" in skipped[1]
    assert "2 binary files" in skipped[1]  # once in the history
    assert "2 files larger than 1 MiB" in skipped[1]


def test_hostile_names_are_shown_harmlessly(repository: Repository) -> None:
    name = 'a\n"b\x1b[31m\u202egnp.exe ä'
    repository.commit({name: aws_key(), "b": "1"})
    tree = repository.audit()
    repository.git("rm", "--quiet", "--", name)
    repository.commit({})
    history = repository.audit()

    for done in (tree, history):
        ((where, _),) = done.found("Fail")
        assert where == 'a\\n"b\\x1b[31m\\u202egnp.exe ä'
    assert "\x1b" not in repository.audit("-o", "table").printed


def test_a_name_that_looks_like_an_option_is_a_name(repository: Repository) -> None:
    repository.commit({"--output=x": aws_key(), "-rf/.env.example": "A=\n"})

    assert [where for where, _ in repository.audit().found("Fail")] == ["--output=x"]


def test_a_file_that_looks_like_a_log_of_git_hides_nothing(repository: Repository) -> None:
    fake = "commit " + "0" * 40 + "\ndiff --git a a\nindex 0..0\n@@ -1 +1,100 @@\n"
    repository.commit({"a.txt": fake + aws_key() + "\n" + fake, "z.txt": aws_key()})
    repository.commit({"a.txt": "", "z.txt": ""})

    assert {where for where, _ in repository.audit().found("Fail")} == {"a.txt", "z.txt"}


def test_no_program_that_a_repository_names_is_started(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    repository.commit({".gitattributes": "* diff=evil filter=evil\n", "a.txt": "1\n"})
    for setting in (
        "core.fsmonitor",
        "core.pager",
        "pager.log",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.smudge",
        "core.sshCommand",
    ):
        repository.git("config", setting, str(program))
    repository.write({"a.txt": "2\n"})

    assert repository.audit().code == 0
    assert not ran.exists()


@pytest.mark.parametrize(("setting", "value"), [("core.worktree", "{}"), ("core.bare", "true")])
def test_a_repository_s_settings_do_not_say_where_its_files_are(
    repository: Repository, tmp_path: Path, setting: str, value: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    repository.write({"new.py": aws_key()})
    repository.git("config", setting, value.format(elsewhere))

    assert [where for where, _ in repository.audit().found("Fail")] == ["new.py"]


def replace_commit(repository: Repository) -> None:
    """Have git show another commit in the place of the one with the value."""
    repository.git("replace", "HEAD~1", "HEAD~2")


def replace_content(repository: Repository) -> None:
    """Have git show another content in the place of the value."""
    innocent = repository.git("hash-object", "-w", "--stdin", given=b"nothing\n").decode().strip()
    repository.git("replace", "HEAD~1:settings.py", innocent)


def graft(repository: Repository) -> None:
    """Have git take the last commit for the first one."""
    head = repository.git("rev-parse", "HEAD").decode().strip()
    repository.write({".git/info/grafts": f"{head}\n"})


def forge_commit_graph(repository: Repository) -> None:
    """Say in the file by which git walks faster that no commit has a parent."""
    repository.git("commit-graph", "write", "--reachable")
    path = repository.folder / ".git/objects/info/commit-graph"
    graph = bytearray(path.read_bytes())
    table = {bytes(graph[at : at + 4]): graph[at + 4 : at + 12] for at in range(8, 8 + 12 * graph[6], 12)}
    start, facts = int.from_bytes(table[b"CDAT"]), 20 + 16  # a tree, two parents, and when it was made
    count = int(repository.git("rev-list", "--all", "--count"))
    for at in range(start, start + count * facts, facts):
        graph[at + 20 : at + 24] = (0x70000000).to_bytes(4)
    path.chmod(0o644)
    path.write_bytes(graph)


@pytest.mark.parametrize("hide", [replace_commit, replace_content, graft, forge_commit_graph])
def test_no_file_beside_the_history_hides_a_part_of_it(
    repository: Repository, hide: Callable[[Repository], None]
) -> None:
    repository.commit({"a.txt": "1\n"})
    repository.commit({"settings.py": f"TOKEN = '{aws_key()}'\n"})
    repository.commit({"settings.py": ""})
    hide(repository)

    assert [where for where, _ in repository.audit().found("Fail")] == ["settings.py"]


def test_a_repository_without_commits_is_looked_at(tmp_path: Path) -> None:
    empty = Repository.new(tmp_path / "empty")
    empty.write({".gitignore": ".env\n.env.*\n", "new.py": aws_key()})

    done = empty.audit()

    assert [where for where, _ in done.found("Fail")] == ["new.py"]


def test_a_worktree_and_a_folder_in_it_are_the_repository(repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "other")
    tree = Repository(tmp_path / "tree")
    tree.commit({"src/a.py": aws_key()})

    assert [where for where, _ in audit(tree.folder / "src").found("Fail")] == ["src/a.py"]


def test_a_submodule_is_counted_and_not_entered(repository: Repository, tmp_path: Path) -> None:
    inner = Repository.new(tmp_path / "inner")
    inner.commit({"a": aws_key()})
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(inner.folder), "inner"
    )
    repository.commit({})

    done = repository.audit()

    assert done.found("Fail") == []
    assert "1 submodules" in done.found("NotApplicable")[0][1]


def test_a_shallow_clone_proves_nothing_of_the_rest(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"a": "1"})
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(tmp_path / "shallow"))

    done = audit(tmp_path / "shallow")

    assert done.code == 2
    assert done.found("Unknown") == [(None, "only the last 1 commits are in this clone")]
    assert audit(tmp_path / "shallow", "--allow-unknown").code == 0


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_what_is_no_repository_is_said_in_one_sentence(tmp_path: Path, name: str) -> None:
    done = audit(tmp_path / name)

    assert (done.code, done.printed) == (2, "")
    assert done.errors.startswith("Error: ")
    assert done.errors.count("\n") == 1


def test_a_foreign_repository_is_not_trusted_and_the_remedy_named(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "_environment", lambda: {**os.environ, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    done = repository.audit()

    assert done.code == 2
    assert "safe.directory" in done.errors


def imported(repository: Repository, commits: int, secret: str) -> None:
    """Make a history at once, with the secret in the oldest commit and in no later one."""
    lines = [b"blob\nmark :1\ndata 0\n"]
    for number in range(commits):
        text = f"{number} {secret}\n".encode() if not number else f"line {number}\n".encode()
        lines.append(
            b"commit refs/heads/long\ncommitter a <a@shop.test> %d +0000\ndata 1\na\n"
            % (1_600_000_000 + number)
            + b"M 644 inline f%d\ndata %d\n%s\n" % (number % 50, len(text), text)
        )
    repository.git("fast-import", "--quiet", given=b"".join(lines))


def test_the_oldest_of_10_500_commits_is_reached(repository: Repository) -> None:
    imported(repository, 10_500, aws_key())

    done = repository.audit()

    assert [where for where, _ in done.found("Fail")] == ["f0"]
    assert done.found("Unknown") == []


def test_a_broken_history_proves_nothing(repository: Repository) -> None:
    repository.commit({"a": "1\n"})
    repository.commit({"a": "2\n"})
    name = repository.git("rev-parse", "HEAD~1:a").decode().strip()
    (repository.folder / ".git" / "objects" / name[:2] / name[2:]).unlink()

    done = repository.audit()

    assert done.code == 2
    assert ["git fsck" in evidence for _, evidence in done.found("Unknown")] == [True]


# What may not be told


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_report_holds_what_was_found(repository: Repository, form: str) -> None:
    found = [make() for make in (aws_key, github_token, login, jwt)]
    value = secrets.token_urlsafe(24)
    repository.commit(
        {
            "old.py": "\n".join(found),
            "secret.yaml": secret_manifest(value),
            ".env.example": f"API_KEY={value}\n",
            ".env": f"A={value}\n",
        }
    )
    repository.commit({"old.py": "", "new.py": "\n".join(found)})

    done = repository.audit("-o", form)

    assert len(done.printed) > 500
    assert (
        leaks([one.encode() for one in (*found, value)], {form: done.printed.encode() + done.errors.encode()})
        == set()
    )


# Rules of the scanner, and values in manifests

ALNUM = string.ascii_letters + string.digits
HEX = string.digits + "abcdef"
MANIFEST = "kind: Secret\nstringData:\n"
SIZE = 1024 * 1024

DRAWN = random.Random()  # noqa: S311  # the same texts in each run, of which none has a form by chance


@pytest.fixture(autouse=True)
def _same_texts(request: pytest.FixtureRequest) -> None:
    DRAWN.seed(request.node.name)


def _of(length: int, alphabet: str = ALNUM) -> str:
    return "".join(DRAWN.choice(alphabet) for _ in range(length))


@pytest.mark.parametrize(
    ("prefix", "length", "alphabet"),
    [
        ("ghp_", 36, ALNUM),
        ("npm_", 36, ALNUM),
        ("sk_live_", 24, ALNUM),
        ("sk_live_51", 97, ALNUM),
        ("xoxb-123456789012-123456789012-", 24, string.ascii_lowercase),
        ("SG." + "a1B2c3D4e5F6g7H8i9J0k1.", 43, ALNUM),
        ("SK", 32, HEX),
        ("AKIA", 16, string.ascii_uppercase),
    ],
)
@pytest.mark.parametrize(
    "line", ["{}\n", "  name: {}\n", '{{"name": "{}"}}\n', "    name = '{}'  # of the shop\n"]
)
def test_a_token_of_a_known_form_is_found(prefix: str, length: int, alphabet: str, line: str) -> None:
    token = prefix + _of(length, alphabet)

    ((_, _, found),) = hits("a.txt", line.format(token))

    assert found.reveal().decode() in token


@pytest.mark.parametrize(
    "make",
    [
        lambda: DRAWN.randbytes(32).hex(),
        lambda: base64.urlsafe_b64encode(DRAWN.randbytes(32)).decode().rstrip("="),
        lambda: base64.b64encode(DRAWN.randbytes(64)).decode(),
        lambda: _of(48),
        lambda: str(uuid.UUID(bytes=DRAWN.randbytes(16), version=4)),
    ],
    ids=["hex", "URL-safe base64", "base64", "letters and digits", "UUID"],
)
def test_a_random_value_has_no_form(make: Callable[[], str]) -> None:
    assert not list(hits("a.txt", "".join(f"VALUE={make()}\n" for _ in range(2_000))))


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.py", "key = '{}'  # pragma: allowlist secret\n", 0),
        ("a.go", 'key := "{}" // pragma: allowlist secret\n', 0),
        ("a.yaml", "# pragma: allowlist nextline secret\nkey: {}\n", 0),
        ("a.yaml", "# pragma: allowlist secret\nkey: {}\n", 1),
    ],
)
def test_a_comment_of_detect_secrets_allows_a_line(name: str, text: str, count: int) -> None:
    token = "ghp_" + _of(36)

    assert len(list(hits(name, text.format(token)))) == count


def test_no_text_of_the_operator_has_a_form() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "operator", "charts", "manifests"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    texts = {str(path): path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file()}

    assert len(texts) > 300
    assert [(name, rule, line) for name, text in texts.items() for rule, line, _ in hits(name, text)] == []


@pytest.mark.timeout(60)
@cases(
    ("text", "keys"),
    case("open braces", f"{MANIFEST}  k: '{'{{' * (SIZE // 2)}'\n", {"k"}),
    case("open variables", f"{MANIFEST}  k: '{'${a' * (SIZE // 3)}'\n", {"k"}),
    case("open guides", f"{MANIFEST}  k: '{' ' * (SIZE // 2)}{'<' * (SIZE // 2)}'\n", {"k"}),
    case(
        "aliases of a value",
        f"a: &a '{'{{' * (SIZE // 4)}'\n{MANIFEST}"
        + "".join(f"  k{number}: *a\n" for number in range(30_000)),
        set(),
    ),
    case(
        "merges",
        f"a: &a {{{','.join(f'k{number}: v' for number in range(30_000))}}}\nkind: Secret\nb:\n"
        + "- {<<: *a}\n" * (SIZE // 22),
        set(),
    ),
)
def test_no_manifest_takes_long(text: str, keys: set[str]) -> None:
    assert keys_in("a.yaml", text) == keys

"""That a program gets the values in its environment, and is itself."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cases import case, cases
from tests.support.console import BIN
from tests.unit.offline.dotenv.project_folder import Folder

_SHOW = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")


def environment(folder: Folder, *arguments: str, env: dict[str, str] | None = None) -> dict[str, str]:
    done = folder.process("run-with", *arguments, "--", *_SHOW, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_program_gets_the_values_as_python_dotenv_reads_them(folder: Folder) -> None:
    folder.env("A='it''s'\n".replace("''", "\\'") + 'B="two\nlines"\nexport C=${B}!${HOME}\n')

    found = environment(folder, env={"HOME": "/home/me"})

    assert [found[name] for name in "ABC"] == ["it's", "two\nlines", "two\nlines!/home/me"]


def test_the_file_goes_before_the_environment_and_leaves_the_rest(folder: Folder) -> None:
    folder.env("A=file\n")

    found = environment(folder, env={"A": "outside", "B": "outside"})

    assert (found["A"], found["B"]) == ("file", "outside")


def test_a_value_of_the_environment_that_is_not_utf_8_is_passed_on_in_its_bytes(folder: Folder) -> None:
    folder.env("A=${LATIN}!é\n")

    found = environment(folder, env={"LATIN": os.fsdecode(b"caf\xe9")})

    assert os.fsencode(found["A"]) == b"caf\xe9!" + "é".encode()


def test_another_environment_or_file_can_be_named(folder: Folder) -> None:
    folder.env("A=production\n", "production")
    other = folder.put("other.env", "A=other\n")

    assert environment(folder, "--environment=production")["A"] == "production"
    assert environment(folder, "-f", str(other))["A"] == "other"


def test_the_exit_code_is_the_program_s(folder: Folder) -> None:
    folder.env("A=1\n")

    assert folder.process("run-with", "--", "sh", "-c", "exit 7").returncode == 7


def test_options_of_the_program_are_its_own(folder: Folder) -> None:
    folder.env("A=1\n")

    assert (
        folder.process("run-with", "--", "echo", "--environment", "x", "--").stdout == "--environment x --\n"
    )
    assert folder.process("run-with", "echo", "-f", "y").stdout == "-f y\n"


def test_input_and_output_are_the_program_s(folder: Folder) -> None:
    folder.env("A=1\n")

    assert folder.process("run-with", "--", "cat", given="hello").stdout == "hello"


def test_a_signal_reaches_the_program_since_it_has_taken_the_place(folder: Folder) -> None:
    folder.env("TOKEN=canary-in-the-environment\n")
    script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [BIN / "keyturn", "run-with", "--", "sh", "-c", script], cwd=folder.path, stdout=-1
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"ready\n"
        argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=20) == 42
    assert argv == b"\0".join([b"sh", b"-c", script.encode()]) + b"\0"


def test_a_broken_pipe_ends_the_program_as_in_a_shell(folder: Folder) -> None:
    folder.env("A=1\n")

    done = folder.process("run-with", "--", "grep", "SigIgn", "/proc/self/status")

    ignored = int(done.stdout.split()[1], 16)
    assert ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)) == 0


@cases(
    ("example", "content"),
    case("empty", "TOKEN=\n", "TOKEN=\n"),
    case("absent", "TOKEN=\n", "A=1\n"),
    case("two", "STRIPE_KEY=\nTOKEN=\n", "A=1\n"),
    case("hinted", "# keyturn: given\nA=\n", "A=\n"),
    case("by name", None, "API_KEY=\nPORT=\n"),
    case("reference", None, "A=${LOST}\n"),
    case("order", None, "B=${A}\nA=1\n"),
    case("no file", None, None),
    case("quote", None, "A='open\n"),
    case("NUL", None, "A=\x00\n"),
    case("bad example", "# keyturn: \nA=\n", "A=1\n"),
)
def test_where_something_is_missing_the_program_is_not_started(
    example: str | None, content: str | None, folder: Folder
) -> None:
    if example is not None:
        folder.example(example)
    if content is not None:
        folder.env(content)

    done = folder.process("run-with", "--", "touch", "started")

    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.count("\n") == 1
    assert not (folder.path / "started").exists()


def test_what_is_no_secret_may_be_empty(folder: Folder) -> None:
    folder.example("DEBUG=\nTOKEN=\n")
    folder.env("DEBUG=\nTOKEN=x\n")

    assert environment(folder)["DEBUG"] == ""


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("./folder", 126), ("./text", 126)])
def test_a_program_that_cannot_be_started_ends_as_in_a_shell(program: str, code: int, folder: Folder) -> None:
    folder.env("A=1\n")
    (folder.path / "folder").mkdir()
    folder.put("text", "x")

    done = folder.process("run-with", "--", program)

    assert (done.returncode, done.stderr.count("\n")) == (code, 1)


def test_more_than_the_system_hands_over_is_reported(folder: Folder) -> None:
    folder.env("A=x\nB=" + "${A}" * 90 + "\n" + f"A='{'y' * 60000}'\nC=${{A}}${{A}}${{A}}\n")

    done = folder.process("run-with", "--", "true")

    assert done.returncode == 126
    assert "more than the system hands to a program" in done.stderr
    assert "yyyy" not in done.stderr


def test_no_program_is_a_question_of_usage(folder: Folder) -> None:
    folder.env("A=1\n")

    assert folder.process("run-with").returncode == 2

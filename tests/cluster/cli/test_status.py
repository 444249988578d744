"""`keyturn status`, `history` and what programs read of them."""

import os
import pty
import re
import subprocess

import pytest

from tests.cluster.namespace import Space, password
from tests.cluster.workloads import deployment, env_from, volume
from tests.support.console import Console, cells
from tests.unit.cli.test_status import _PAGE

REFUSAL = "refuses restarts by keyturn.dev/restart: never; restart it yourself"


def test_the_worst_comes_first(space: Space, console: Console) -> None:
    space.managed(name="good")
    space.managed(name="rare", rotation={"every": "20h", "jitter": "0%"})
    space.managed(name="still")
    space.respec(lambda spec: spec.update(suspend=True), "still")
    space.manage(name="bad", className="no-such-class")
    space.stalled("SecretClassNotFound", "bad")
    space.until_condition("Ready", "True", "Suspended", "still")

    done = console.run("status")

    assert done.returncode == 3
    header, bad, *others = cells(done.stdout)
    assert header == ["NAME", "STATE", "REVISION", "WORKLOADS", "ROTATED", "NEXT", "MESSAGE"]
    assert bad[:6] == ["bad", "Stalled", "-", "-", "-", "-"]
    assert bad[6].startswith(
        "SecretClassNotFound: there is no SecretClass 'no-such-class'; create it or write"
    )
    assert others == [
        ["still", "Suspended", "1", "-", "<time>", "-", "spec.suspend is true"],
        ["rare", "Due", "1", "-", "<time>", "<time>"],
        ["good", "Ready", "1", "-", "<time>", "-"],
    ]


def test_one_is_shown_with_its_workloads(space: Space, console: Console) -> None:
    space.managed(password(), owner="team@shop.test")
    space.run(deployment("api", env_from("auth")))
    space.run(deployment("web", volume("auth"), annotations={"keyturn.dev/restart": "never"}))
    space.rotate()
    space.until_workload("web", state="Pending")
    space.until_workload("api", state="Current", revision=2)

    assert cells(console("status", "auth", "-o", "wide")) == [
        ["NAME", "STATE", "REVISION", "WORKLOADS", "ROTATED", "NEXT", "CLASS", "OWNER", "SECRET", "MESSAGE"],
        [
            *("auth", "Behind", "2", "1/2", "<time>", "-", "-", "team@shop.test", "auth"),
            f"1 of 2 workloads run the current revision; Deployment/web is pending: {REFUSAL}",
        ],
        [""],
        ["KIND", "NAME", "USES IT BY", "STATE", "REVISION", "MESSAGE"],
        ["Deployment", "api", "envFrom", "Current", "2"],
        [*("Deployment", "web", "volume", "Pending", "-"), REFUSAL],
    ]


def test_one_is_shown_with_the_date_of_each_value(space: Space, console: Console) -> None:
    of_keys = {"every": "180d"}
    space.managed(
        {**password("db-password"), "rotation": {"every": "90d"}}, password("jwt-secret"), rotation=of_keys
    )

    assert cells(console("status", "auth"))[2:] == [
        [""],
        ["VALUE", "SCHEDULE", "ROTATED", "NEXT"],
        ["jwt-secret", "every 180d, jitter 10%", "<time>", "<time>"],
        ["db-password", "every 90d, jitter 10%", "<time>", "<time>"],
    ]


def test_who_may_view_a_namespace_sees_it(space: Space, viewer: Console) -> None:
    space.managed()

    shown = cells(viewer("status"))

    assert [line[:2] for line in shown[1:-2]] == [["auth", "Ready"]]
    assert shown[-2:] == [[""], ["Operator: unknown: you may not get leases in namespace keyturn-system"]]


def test_a_terminal_wraps_a_line_that_a_pipe_gets_whole(space: Space, console: Console) -> None:
    space.manage(className="no-such-class")
    space.stalled("SecretClassNotFound")

    whole = console.run("status").stdout
    wrapped = _on_a_terminal(console, columns=60)

    assert max(map(len, whole.splitlines())) > 60
    assert max(map(len, wrapped)) <= 60
    assert wrapped[0] == "NAME   STATE     MESSAGE"
    assert whole.split()[-6:] == " ".join(wrapped).split()[-6:]


def _on_a_terminal(console: Console, columns: int) -> list[str]:
    primary, secondary = pty.openpty()
    env = {**console.environment(), "COLUMNS": str(columns), "NO_COLOR": "1"}
    subprocess.run(
        ["keyturn", "status", "-n", console.namespace], env=env, stdout=secondary, check=False, timeout=60
    )
    os.close(secondary)
    with os.fdopen(primary, "rb", closefd=True) as screen:
        return screen.read1().decode().splitlines()


def test_history_reports_each_revision(space: Space, console: Console) -> None:
    space.managed()
    space.rotated()

    rows = cells(console("history", "auth"))
    name, *took = (row.pop(4) for row in rows)
    assert rows == [
        ["CURRENT", "REVISION", "REASON", "STARTED", "RESULT", "MESSAGE"],
        ["*", "2", "Triggered", "<time>", "Succeeded"],
        ["-", "1", "Created", "<time>", "Succeeded"],
    ]
    assert name == "TOOK"
    assert all(re.fullmatch(r"\d+s", one) for one in took)


@pytest.mark.parametrize("command", [("status",), ("history", "auth"), ("plan", "auth")], ids=" ".join)
def test_what_programs_get_is_what_the_documentation_names(
    command: tuple[str, ...], space: Space, console: Console
) -> None:
    space.managed()
    (fields,) = re.findall(rf"^\| `{command[0]}` \| (`.+?) \| ", _PAGE, re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", fields))

    answer = console.json(*command)

    assert set(answer["items"][0] if "items" in answer else answer) == documented

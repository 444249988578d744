"""The comparison with other controllers: its templates, and how it counts calls."""

from pathlib import Path

import pytest

from benchmarks.contender import SHIPPED, AuditLog, Template


@pytest.mark.parametrize("values", ["generated", "pulled"])
@pytest.mark.parametrize("side", ["keyturn", "eso"])
def test_the_shipped_templates_are_templates(side: str, values: str) -> None:
    template = Template.read(SHIPPED / f"{side}-{values}.yaml", store="http://127.0.0.1:1")

    assert template.body("one")["metadata"]["name"] == "one"
    assert "${" not in template.each.replace("${name}", "")


def test_calls_are_those_of_one_user_without_watches_and_leases(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(event("ours", "create", "secrets"))
    log = AuditLog(path, "ours")
    with path.open("a") as audit:
        audit.write(event("ours", "create", "secrets"))
        audit.write(event("ours", "get", "secrets"))
        audit.write(event("ours", "watch", "secrets"))
        audit.write(event("ours", "update", "leases"))
        audit.write(event("theirs", "create", "secrets"))
        audit.write(event("ours", "list", "secrets", stage="ResponseStarted"))
        audit.write(event("ours", "delete", "secrets").rstrip("\n"))  # incomplete: counted later

    log.read()
    first = (log.calls, log.writes)
    with path.open("a") as audit:
        audit.write("\n")
    log.read()

    assert first == (3, 2)
    assert (log.calls, log.writes) == (4, 3)


def event(user: str, verb: str, resource: str, stage: str = "ResponseComplete") -> str:
    return (
        f'{{"stage":"{stage}","verb":"{verb}","user":{{"username":"{user}"}},'
        f'"objectRef":{{"resource":"{resource}"}}}}\n'
    )

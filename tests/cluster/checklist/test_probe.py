"""A read of a managed Secret proves that access is logged, where a real API server tells the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.checklist import audit_command
from tests.cluster.endpoints.test_audit_webhook import audited, space  # noqa: F401  # an API server with its audit webhook
from tests.support.console import Console

if TYPE_CHECKING:
    from tests.cluster.endpoints.test_audit_webhook import Audited
    from tests.cluster.namespace import Space


def test_a_read_that_is_recorded_proves_that_access_is_logged(
    audited: Audited,  # noqa: F811
    space: Space,  # noqa: F811
) -> None:
    console = Console(audited.plane.kubeconfig, space.namespace)
    record = ("get", "secret", "keyturn-access", "-n", "keyturn-system", "-o", "name")
    audited.account(space.namespace, "somebody")("get", "secret", "auth", "-n", space.namespace, "-o", "name")
    eventually(lambda: audited.kubectl.run(*record).returncode == 0, "there is a record", timeout=120)

    first = audit_command.audited(console, "--only", "access-log")
    again = audit_command.audited(console, "--only", "access-log")

    assert (first.code, again.code) == (0, 0)
    assert first.found("Pass")
    assert "your reads are recorded, the last one at" in again.found("Pass")[0][1]


def test_a_user_who_may_not_see_the_record_gets_a_message_with_what_is_missing(
    audited: Audited,  # noqa: F811
    space: Space,  # noqa: F811
) -> None:
    audited.account(space.namespace, "auditor")
    console = Console(audited.folder / f"{space.namespace}-auditor", space.namespace)

    done = audit_command.audited(console, "--only", "access-log")

    assert done.code == 2
    assert done.found("Unknown")

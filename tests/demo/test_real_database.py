"""In containers, pods with a pool of sessions lose no request while their password rotates at PostgreSQL.

The server is that of the example of the documentation, started as a user starts it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.demo.showing import ValueCollector, begin, left_of_node, read_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)
_MODULE = "demo.database"
_SHOWN = (
    "✓ the node is ready, and has the images",
    'deployment "keyturn" successfully rolled out',
    "✓ the operator works, as system:serviceaccount:keyturn-system:keyturn",
    "$ kubectl apply -f manifests/examples/database-postgresql.yaml",
    "✓ Keyturn can log in as its administrator",
    "✓ the account exists, and its password is in the Secret",
    "✓ two pods serve",
    "✓ rotated: the new login is in use, the old one is closed",
    "orders_app_a   NOLOGIN  no password",
    "✓ requests came through orders_app_a, then orders_app_b: yes",
    "✓ the revision before is back, and the login of the failed one is closed",
    "✓ the Secret has the login and the password from before: yes",
    "✓ rotated, without overlap",
    "✓ the password before is refused: yes",
    "✓ the first password is refused: yes",
    "✓ the password in the Secret is accepted: yes",
    "That was all of it.",
)
_CHAPTERS = 3
"""In which no request may fail: the rotation, the rollback, and after the emergency."""


def test_no_request_of_real_pods_fails_while_their_password_rotates(
    scratch: Path,
) -> None:
    with begin(scratch, "--node=real", module=_MODULE) as process:
        said = read_until(process, "✓ the operator works")
        kubeconfigs = list(scratch.glob("keyturn-sandbox/*/kubeconfig"))
        assert len(kubeconfigs) == 1, said
        with ValueCollector(kubeconfigs[0], secret="orders-database", public="username") as collector:  # noqa: S106
            said += read_until(process, "What the server accepts now")
        rest, _ = process.communicate(timeout=120)
        said += rest

    assert (process.returncode, [line for line in _SHOWN if line not in said]) == (0, []), said
    served = [int(count) for count in re.findall(r"none of (\d+) requests failed: yes", said)]
    assert (len(served), all(served)) == (_CHAPTERS, True), said
    assert len(collector.heard) >= 2 * _CHAPTERS, "a password and a URL of each revision"
    assert not any(value in said for value in collector.heard)
    assert left_of_node(scratch) == []

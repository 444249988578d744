"""What `keyturn render` writes, for whom, and what it never prints."""

import pytest

from keyturn import generators
from keyturn.api import ManagedSecret
from sandbox.harness import Kubectl
from tests.unit.offline.dotenv.project_folder import EXAMPLE, Folder
from tests.unit.offline.dotenv.test_render import declared


@pytest.mark.parametrize(
    "extra", ["", "# keyturn: sshKey publicKey=PUB\nDEPLOY_KEY=\nPUB=\nHOST=db\nH='${HOST}:${JWT_SECRET}'\n"]
)
def test_the_api_server_takes_the_declaration(
    extra: str, folder: Folder, kubectl: Kubectl, namespace: str
) -> None:
    folder.example(EXAMPLE + extra)
    body = declared(folder, "--name=app", "--namespace", namespace)

    kubectl("apply", "--dry-run=server", "-f", "-", given=body)

    assert all(
        generators.make(one.generate) for one in ManagedSecret.model_validate(body).spec.data if one.generate
    )

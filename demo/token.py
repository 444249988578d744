"""The credential plugin of `make run`: asks for a token of the operator's ServiceAccount, as the person who runs it.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import json
import os
import shlex
import sys

from sandbox.harness import HarnessError

from .terminal import Screen, Terminal


def main() -> int:
    (context,) = sys.argv[1:]
    os.environ.pop("KUBECONFIG", None)
    if own := os.environ.get("KEYTURN_ADMIN_KUBECONFIG"):
        os.environ["KUBECONFIG"] = own
    try:
        request = Terminal(Screen()).json(
            f"create token keyturn -n keyturn-system --duration=1h --context {shlex.quote(context)}"
        )
    except HarnessError as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - what a plugin says
        return 1
    status = request["status"]
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": status["token"], "expirationTimestamp": status["expirationTimestamp"]},
    }
    print(json.dumps(answer))  # noqa: T201 - to the client that started it
    return 0


if __name__ == "__main__":
    sys.exit(main())

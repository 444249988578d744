"""The harness of the demo, the benchmarks and the tests: kubectl, the installation, the operator's process, waits.

- `Kubectl` runs kubectl with one kubeconfig; each call has a timeout.
- `installation` installs Keyturn from the manifests and writes kubeconfigs.
- `Operator` is `keyturn run` as a process, with its log, its ports and its end.
- `eventually` waits until a condition holds, `until` does so in asyncio.

Each failure is a `HarnessError`. The harness imports the sandbox only.
"""

from __future__ import annotations

from .kubectl import HarnessError, Kubectl, eventually, until
from .operator import Operator

__all__ = ["HarnessError", "Kubectl", "Operator", "eventually", "until"]

from __future__ import annotations

from tests.cluster.conftest import objects, space  # noqa: F401  # the same cluster, namespaces and operator

"""Point 4: Secrets are encrypted at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keyturn.core.policy import encryption
from keyturn.core.policy.findings import Point

from .base import PointCheck

if TYPE_CHECKING:
    from keyturn.core.policy.findings import Finding

    from .base import Checked

__all__ = ["EncryptionAtRest"]


class EncryptionAtRest(PointCheck):
    """Judges by the API server's metrics."""

    kind: ClassVar[str] = Point.AT_REST

    async def find(self, checked: Checked) -> list[Finding]:
        return encryption.judge_encryption(await checked.facts.metrics())

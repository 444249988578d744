"""Audit webhook: the API server's audit events about managed Secrets, counted, judged and remembered.

Modules
    endpoint, authentication   POST /audit over HTTPS, for the API server only
    event               events, without bodies
    queue, rejected_batches    waiting events, and batches that were sent back
    classifier, baseline       known and unknown readers
    access_log, persistence    last readers of each secret, kept over a restart
    slices              work on all entries beside other tasks
    audit               the parts together

Values never come here: bodies are neither asked for nor kept.

Imports: `kube`, `runtime`, `core`, `api`. The record of the proof is handed in (`audit.Proof`).
"""

from __future__ import annotations

from .audit import Audit
from .authentication import AuditSettings

__all__ = ["Audit", "AuditSettings"]

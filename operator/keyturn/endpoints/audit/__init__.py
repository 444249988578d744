"""Audit webhook: the API server's audit events about managed Secrets, counted, judged and remembered.

Modules
    audit        POST /audit over HTTPS, for the API server only, and the parts together
    event        events, without bodies; another source of events can use it as well
    classifier   the secret of an event, and unusual reads
    access_log   readers of each secret, kept over a restart

Values never come here: bodies are neither asked for nor kept.

Imports: `kube`, `runtime`, `core`, `api`. The record of the proof is handed in (`audit.Proof`).
"""

from .audit import Audit, AuditSettings

__all__ = ["Audit", "AuditSettings"]

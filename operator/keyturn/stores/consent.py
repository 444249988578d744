"""Consent of a ServiceAccount: its annotation keyturn.dev/stores names the stores that may use its tokens.

The author of a SecretStore chooses the account; the owner of the account chooses the stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.core.labels import CONSENT
from keyturn.kube import paths

from .providers.errors import Unauthorized

if TYPE_CHECKING:
    from keyturn.core.keys import StoreKey
    from keyturn.kube.client import Api

NO_CONSENT: Final = "NoConsent"


async def hold_to_consent(namespace: str, account: str, store: StoreKey, api: Api) -> str:
    """Check the consent of a ServiceAccount, and return its UID.

    Raises:
        Unauthorized: It does not name the store.
        ApiError: It does not exist, or the read failed.
    """
    body = await api.get(paths.service_account(namespace, account))
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    named = {one.strip() for one in annotations.get(CONSENT, "").split(",")}
    desired = f"{store.kind}/{store.name}" if store.is_for_all else store.name
    if desired not in named:
        raise Unauthorized(
            NO_CONSENT,
            f"the ServiceAccount {account!r} in the namespace {namespace!r} does not consent to this store; annotate"
            f" it with {CONSENT}: {desired} (separate several with commas)",
        )
    return str(metadata["uid"])

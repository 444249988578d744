"""Google Cloud credentials: a service account key that signs tokens, or token exchange for a ServiceAccount.

Nothing is looked up: no file, no variable, no metadata server. So the operator's own rights are out of reach.

A key signs tokens for Secret Manager alone instead of asking for ones that open all of Google Cloud: nothing has to
be asked, and an endpoint that keeps what it is shown can use it nowhere else.
"""

import base64
import json
import re
import time
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from keyturn.api.base import Schema, Spelled
from keyturn.core.value import Value
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers._refs import KeyRef, OneOf, ServiceAccountRef, TokenLogin, token_in
from keyturn.stores.providers.base import ProviderContext, Reference
from keyturn.stores.providers.errors import StoreError, Unauthorized, Unreachable

_STS: Final = "https://sts.googleapis.com/v1/token"
_IAM: Final = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
_SERVICE: Final = "https://secretmanager.googleapis.com/"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_SECONDS: Final = 600
"""Seconds that a self-signed token is valid."""
_MAX_SKEW: Final = 60
"""Seconds of tolerated clock skew."""
_POOL: Final = "//iam.googleapis.com/"
_KEY_ID: Final = re.compile(r"[!-~]{1,128}")
_EMAIL: Final = re.compile(r"[A-Za-z0-9._-]{1,128}@[A-Za-z0-9._-]{1,128}")

_MAX_FILE_BYTES: Final = 16 * 1024
_MAX_KEY_BYTES: Final = 3600
"""Bytes of a private key in PEM, enough for 4096 bits; to check a much longer one takes minutes."""
_GOOGLES: Final = frozenset(
    {None, "https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token"}
)

Audience = Annotated[
    str,
    Spelled(
        r"^((//iam[.]googleapis[.]com/)?projects/[0-9]+/locations/global"
        r"/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+"
        r"|identitynamespace:[a-z0-9.:-]+[.]svc[.]id[.]goog:https://[A-Za-z0-9._/:-]+)$",
        "write the provider of a workload identity pool, such as"
        " //iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/shop/providers/cluster",
        512,
    ),
]
ServiceAccountEmail = Annotated[
    str,
    Spelled(
        r"^[a-z0-9-]+@[a-z0-9.-]+[.]gserviceaccount[.]com$",
        "write the email of a service account, such as reader@shop.iam.gserviceaccount.com",
        253,
    ),
]


class GcpWorkloadIdentity(Schema):
    """A ServiceAccount that a workload identity pool of Google Cloud trusts."""

    service_account_ref: ServiceAccountRef
    """The ServiceAccount of the consumer's namespace that we log in as."""
    audience: Audience
    """The provider of the pool by its full name, or the identity namespace of a GKE cluster."""
    service_account_email: ServiceAccountEmail | None = None
    """The service account of Google Cloud to act as; the pool's own identity where absent."""


class GcpAuth(OneOf):
    """A login of Google Cloud."""

    secret_ref: KeyRef | None = None
    """The key of a Secret that holds a service account's key in JSON."""
    workload_identity: GcpWorkloadIdentity | None = None
    """A ServiceAccount of the consumer's namespace, without any stored key."""

    def needs(self) -> tuple[Reference, ...]:
        return (self.secret_ref.in_secret(),) if self.secret_ref else ()

    def service_account(self) -> str | None:
        return self.workload_identity.service_account_ref.name if self.workload_identity else None


class _ServiceAccountKey(NamedTuple):
    """Content of a service account key."""

    email: str
    id: str
    pem: str


class GcpLogin(TokenLogin):
    """One identity of Google Cloud."""

    def __init__(self, auth: GcpAuth, given: ProviderContext) -> None:
        super().__init__()
        self._auth = auth
        self._given = given

    async def _make(self) -> tuple[Value, float]:
        if self._auth.workload_identity is not None:
            return await self._exchange(self._auth.workload_identity)
        key = _key_of(self._given.value_of(*self._auth.needs()).reveal())
        return await errors.run_apart(self._given.owner, _signed, key)

    async def _exchange(self, identity: GcpWorkloadIdentity) -> tuple[Value, float]:
        """Exchange a token of the ServiceAccount at the identity pool (RFC 8693); it is valid for that alone."""
        shown, asked = _audiences(identity.audience)
        subject = await self._given.token(identity.service_account_ref.name, shown)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": asked,
            "scope": _SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": subject.reveal().decode("ascii"),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._post(_STS, kind, urlencode(form).encode())
        lasts = errors.seconds(str(answer.get("expires_in")))
        seconds = _TOKEN_SECONDS if lasts is None else min(lasts, _TOKEN_SECONDS)
        token = token_in(answer, "access_token")
        if identity.service_account_email is None:
            return token, seconds
        return await self._impersonate(identity.service_account_email, token)

    async def _impersonate(self, email: str, token: Value) -> tuple[Value, float]:
        headers = {
            "Authorization": f"Bearer {token.reveal().decode('ascii')}",
            "Content-Type": "application/json",
        }
        body = json.dumps({"scope": [_SCOPE], "lifetime": f"{_TOKEN_SECONDS}s"}).encode()
        answer = await self._post(f"{_IAM}/{quote(email)}:generateAccessToken", headers, body)
        return token_in(answer, "accessToken"), _TOKEN_SECONDS

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        answer = await self._given.network.ask("POST", url, headers=headers, body=body)
        if answer.status == HTTPStatus.OK:
            return await properties.object_apart(answer.body, self._given.owner)
        raise _refusal(answer.status, answer.headers.get("Retry-After"))


def _refusal(status: int, retry_after: str | None) -> StoreError:
    """Map an error of a token request; anything wrong with it means that the credential is rejected."""
    error = errors.of_status(status, retry_after)
    if isinstance(error, Unreachable | errors.Throttled):
        return error
    return Unauthorized(
        error.code, "Google rejects the ServiceAccount's token; check the pool's audience and bindings"
    )


def _audiences(audience: str) -> tuple[str, str]:
    """Return the audiences of the ServiceAccount's token and of the exchange."""
    if audience.startswith("identitynamespace:"):
        return audience.split(":https://", 1)[0].removeprefix("identitynamespace:"), audience
    name = audience.removeprefix(_POOL)
    return f"https:{_POOL}{name}", f"{_POOL}{name}"


# Service account key


def _key_of(content: bytes) -> _ServiceAccountKey:
    facts = _facts(content)
    if facts.get("type") == "external_account":
        raise _no_login("it names where a login is, which could be the operator's; write workloadIdentity")
    texts = [facts.get(name) for name in ("client_email", "private_key_id", "private_key")]
    email, key_id, pem = (text if isinstance(text, str) else "" for text in texts)
    if facts.get("type") != "service_account" or not _EMAIL.fullmatch(email) or not _KEY_ID.fullmatch(key_id):
        raise _no_login("the Secret holds no service account's key in JSON; make one in the console")
    if facts.get("token_uri") not in _GOOGLES or facts.get("universe_domain") not in {None, "googleapis.com"}:
        raise _no_login("the key is not for Google's public cloud; see its token_uri and universe_domain")
    if not 0 < len(pem) <= _MAX_KEY_BYTES:
        raise _no_login("the private key is not one of RSA with at most 4096 bits")
    return _ServiceAccountKey(email, key_id, pem)


def _facts(content: bytes) -> dict[str, Any]:
    if len(content) <= _MAX_FILE_BYTES:
        try:
            return properties.object_of(content)
        except StoreError:
            pass
    raise _no_login("the Secret holds no service account's key in JSON; make one in the console")


def _signed(key: _ServiceAccountKey) -> tuple[Value, float]:
    """Sign a token for Secret Manager alone; CPU-bound, so in a thread."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # on first use: they are large
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        private = load_pem_private_key(key.pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, RSAPrivateKey):
        raise _no_login("the private key is not one of RSA with at most 4096 bits")
    began = int(time.time()) - _MAX_SKEW
    claims = {
        "iss": key.email,
        "sub": key.email,
        "aud": _SERVICE,
        "iat": began,
        "exp": began + _TOKEN_SECONDS + _MAX_SKEW,
    }
    header = {"alg": "RS256", "kid": key.id, "typ": "JWT"}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = _base64url(private.sign(signed, PKCS1v15(), SHA256()))
    return Value(b"%b.%b" % (signed, signature)), _TOKEN_SECONDS


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _no_login(hint: str) -> Unauthorized:
    return Unauthorized("NoLogin", hint)

"""Microsoft Entra ID: its token endpoint for client secrets and federated credentials, as documented.

Source: Microsoft, "Microsoft identity platform and the OAuth 2.0 client credentials flow".
"""

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

TENANT: Final = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CANARY: Final = "canary-of-an-answer"
"""Stands in every message, as Azure's own quote who asked for what."""
_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Federated(NamedTuple):
    """A federated credential: whose tokens are taken for the application's."""

    issuer: str
    subject: str
    audience: str


@dataclass
class Application:
    """An identity, and what its role lets it do in the vault."""

    secret: str = field(repr=False)
    federated: Federated | None = None
    may: frozenset[str] = frozenset({"get", "set", "delete", "recover"})


class Granted(NamedTuple):
    application: Application
    resource: str


@dataclass
class Entra:
    """One tenant."""

    applications: dict[str, Application] = field(default_factory=dict)
    tokens: dict[str, Granted] = field(default_factory=dict, repr=False)
    forms: list[dict[str, str]] = field(default_factory=list, repr=False)
    """What was asked, in turn."""
    seconds: int = 3599
    stem: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    """What every token has in it."""

    def answer(self, path: str, body: str) -> web.Response:
        form = dict(parse_qsl(body))
        self.forms.append(form)
        if path != f"/{TENANT}/oauth2/v2.0/token":
            return _refused(400, "invalid_request", 90002)
        application = self.applications.get(form.get("client_id", ""))
        if form.get("grant_type") != "client_credentials" or not form.get("scope", "").endswith("/.default"):
            return _refused(400, "invalid_request", 900144)
        if application is None:
            return _refused(400, "unauthorized_client", 700016)
        if "client_assertion" in form:
            refused = _judged(form, application)
        else:
            refused = 0 if form.get("client_secret") == application.secret else 7000215
        if refused:
            return _refused(401, "invalid_client", refused)
        return self._granted(application, form["scope"].removesuffix("/.default"))

    def revoke(self) -> None:
        self.tokens.clear()

    def _granted(self, application: Application, resource: str) -> web.Response:
        token = f"eyJ{self.stem}.{secrets.token_hex(8)}"
        self.tokens[token] = Granted(application, resource)
        return web.json_response(
            {
                "token_type": "Bearer",
                "expires_in": self.seconds,
                "ext_expires_in": 3599,
                "access_token": token,
            }
        )


def jwt(issuer: str, subject: str, audience: str, signature: str) -> str:
    """Write a token of a ServiceAccount as the API server does, but for its signature, which nobody checks here."""
    parts = ({"alg": "RS256", "kid": "k"}, {"iss": issuer, "sub": subject, "aud": [audience]})
    encoded = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts]
    return ".".join([*encoded, signature])


def _judged(form: dict[str, str], application: Application) -> int:
    """Return the number of the error, or 0."""
    if form.get("client_assertion_type") != _BEARER or application.federated is None:
        return 700027
    encoded = form["client_assertion"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    if claims["aud"] != [application.federated.audience]:
        return 700212
    if claims["iss"] != application.federated.issuer:
        return 700211
    return 0 if claims["sub"] == application.federated.subject else 700213


def _refused(status: int, error: str, number: int) -> web.Response:
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: {CANARY}. Trace ID: 0. Timestamp: 2026-01-01 00:00:00Z",
        "error_codes": [number],
        "trace_id": "0",
        "error_uri": f"https://login.test/error?code={number}",
    }
    return web.json_response(body, status=status)

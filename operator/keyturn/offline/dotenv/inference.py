"""Infers the source of a variable from its name and its text in .env.example."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from .shipped_classes import SHIPPED
from .sources import Copied, IssuedElsewhere, Made

if TYPE_CHECKING:
    from .sources import Source

__all__ = ["Inferred", "inferred"]

_PUBLIC: Final = ("NEXT_PUBLIC_", "NUXT_PUBLIC_", "EXPO_PUBLIC_", "REACT_APP_", "PUBLIC_", "VITE_")
"""Prefixes that web frameworks expose to every visitor."""
_PASSWORDS: Final = frozenset({"PASSWORD", "PASSWD", "PASS", "PWD", "PASSPHRASE", "PGPASSWORD"})
_KEYS: Final = frozenset({"SECRET", "KEY", "TOKEN", "SALT", "PEPPER"})
_NO_SECRET_BEFORE_KEY: Final = frozenset(
    {"PUBLIC", "PUBLISHABLE", "SITE", "CACHE", "PRIMARY", "PARTITION", "SORT", "ROUTING", "FOREIGN", "OBJECT"}
)
_DATABASES: Final = frozenset(
    {
        "DB",
        "DATABASE",
        "POSTGRES",
        "POSTGRESQL",
        "PG",
        "PGPASSWORD",
        "MYSQL",
        "MARIADB",
        "MONGO",
        "MONGODB",
        "SQL",
    }
)
_CACHES: Final = frozenset({"REDIS", "VALKEY", "KEYDB", "DRAGONFLY", "MEMCACHED"})
_SECOND_FACTORS: Final = frozenset({"2FA", "TWOFA", "MFA", "TOTP", "OTP", "ENCRYPTION"})
_SESSIONS: Final = frozenset({"SESSION", "COOKIE", "CSRF"})
_ISSUED_ELSEWHERE: Final = frozenset(
    """
    ALGOLIA ANTHROPIC APPLE AUTH0 AWS AZURE BITBUCKET CLERK CLOUDFLARE CLOUDINARY COGNITO DATADOG
    DIGITALOCEAN DISCORD DOCKERHUB DROPBOX EMAIL FACEBOOK FASTLY FIREBASE FRESHDESK GCP GEMINI GH
    GITHUB GITLAB GOOGLE HEROKU HUBSPOT IMAP INTERCOM JIRA LINKEDIN MAIL MAILCHIMP
    MAILGUN MAPBOX MICROSOFT MISTRAL NETLIFY NEWRELIC NOTION NPM OKTA OPENAI PAGERDUTY PAYPAL PLAID
    POSTHOG POSTMARK PUSHER RECAPTCHA RESEND S3 SALESFORCE SEGMENT SENDGRID SENTRY SHOPIFY SLACK
    SMTP SPOTIFY SQUARE STRIPE SUPABASE TELEGRAM TURNSTILE TWILIO TWITTER VERCEL ZENDESK
    """.split()  # noqa: SIM905  # sixty quotes more would hide the words
)
"""Services and mail servers that issue keys and passwords."""
_ISSUED: Final = (
    "CLIENT_SECRET",
    "BOT_TOKEN",
    "ACCESS_TOKEN",
    "REFRESH_TOKEN",
    "PERSONAL_TOKEN",
    "WEBHOOK_SECRET",
)
_PASSWORD_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\s:@]*:(?!\$\{)[^/\s@]+@", re.IGNORECASE)
_NO_SECRET_TEXT = re.compile(r"(?:true|false|yes|no|on|off|~?\.{0,2}/.*)", re.IGNORECASE)


class Inferred(NamedTuple):
    """A source, and why it was chosen."""

    source: Source
    why: str


def inferred(name: str, text: str, *, in_a_url: bool) -> Inferred:
    """Choose the source of a variable; with `in_a_url` a URL reads it by ${…}."""
    if _PASSWORD_IN_URL.match(text):
        return Inferred(IssuedElsewhere(), "its URL holds a password; read a variable there by ${…}")
    if not _names_a_secret(name) or "${" in text or _NO_SECRET_TEXT.fullmatch(text):
        return Inferred(Copied(), "")
    chosen = _secret(name)
    if in_a_url and isinstance(chosen.source, Made) and chosen.source.settings.get("encoding") == "base64":
        safe = {**chosen.source.settings, "encoding": "base64url"}
        return Inferred(replace(chosen.source, settings=safe), f"{chosen.why}, for a URL")
    return chosen


def _names_a_secret(name: str) -> bool:
    words = _words(name)
    if name.upper().startswith(_PUBLIC) or not words:
        return False
    if words[-3:] == ["SECRET", "KEY", "BASE"]:
        return True
    if words == ["PWD"] or (words[-1] == "KEY" and words[-2:-1] and words[-2] in _NO_SECRET_BEFORE_KEY):
        return False
    return words[-1] in _PASSWORDS | _KEYS


def _secret(name: str) -> Inferred:
    words = _words(name)
    known = set(words)
    if known & _ISSUED_ELSEWHERE or name.upper().endswith(_ISSUED):
        return Inferred(IssuedElsewhere(), "its name: another service issues it")
    if words[-2:] == ["PRIVATE", "KEY"]:
        return Inferred(
            IssuedElsewhere(), "a private key is not random text; add a hint with its kind, such as ecKey"
        )
    return _password(known) if words[-1] in _PASSWORDS else _key(words)


def _key(words: list[str]) -> Inferred:
    known = set(words)
    if words[-1] == "BASE":
        return Inferred(Made("bytes", {"length": 64, "encoding": "hex"}), "its name, as Rails has it")
    classes = {
        "two-factor-key": {"TWO", "FACTOR"} <= known or known & _SECOND_FACTORS,
        "session-secret": known & _SESSIONS,
        "jwt-secret": "JWT" in known,
        "api-key": known & {"API", "TOKEN"},
    }
    found = next((_as(name) for name, fits in classes.items() if fits), None)
    return found or Inferred(Made("bytes", {"length": 32, "encoding": "base64"}), "its name")


def _password(known: set[str]) -> Inferred:
    if known & _CACHES:
        return _as("redis-password")
    if known & _DATABASES:
        return _as("database-password")
    return Inferred(Made("password", {"length": 32}), "its name")


def _as(name: str) -> Inferred:
    return Inferred(SHIPPED[name], f"its name, as class {name}")


def _words(name: str) -> list[str]:
    return [word for word in name.upper().split("_") if word]

"""Tokens of the known forms are found, and random values and this repository hold none."""

from __future__ import annotations

import base64
import random
import string
import subprocess
import uuid
from functools import partial
from typing import TYPE_CHECKING

import pytest

from keyturn.checklist.repository import rules
from keyturn.checklist.repository.token_forms import TOKEN_FORMS
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

hits = partial(rules.hits, is_late=lambda: False)
UPPER, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
ALNUM = string.ascii_letters + DIGITS
SMALL, CAPITALS, HEX = LOWER + DIGITS, UPPER + DIGITS, DIGITS + "abcdef"
URL, BASE64 = ALNUM + "-_", ALNUM + "+/"

DRAWN = random.Random()  # noqa: S311  # the same texts in each run, of which none has a form by chance


@pytest.fixture(autouse=True)
def _same_texts(request: pytest.FixtureRequest) -> None:
    DRAWN.seed(request.node.name)


def _of(length: int, alphabet: str = ALNUM) -> str:
    """Return random characters, with a letter or digit at both ends."""
    inner = "".join(DRAWN.choice(alphabet) for _ in range(length - 2))
    ends = [one for one in alphabet if one.isalnum()]
    return DRAWN.choice(ends) + inner + DRAWN.choice(ends)


def _joined(*parts: str | tuple[int, str]) -> str:
    """Join texts, and random characters of a length and an alphabet."""
    return "".join(part if isinstance(part, str) else _of(*part) for part in parts)


def _json(length: int) -> str:
    """Return base64 of a JSON object."""
    return base64.b64encode(b'{"a":"' + DRAWN.randbytes(length)).decode().rstrip("=")


def _uuid() -> str:
    return str(uuid.UUID(bytes=DRAWN.randbytes(16), version=4))


def _eyj(prefix: str, length: int) -> str:
    return prefix + _json(length)


FORMS: dict[str, Callable[[], str]] = {
    "age": partial(_joined, "AGE-SECRET-KEY-1", (58, CAPITALS)),
    "Airtable": partial(_joined, "pat", (14, ALNUM), ".", (64, HEX)),
    "Anthropic": partial(_joined, "sk-ant-api03-", (93, URL), "AA"),
    "Anthropic admin": partial(_joined, "sk-ant-admin01-", (93, URL), "AA"),
    "Atlassian": partial(_joined, "ATATT3xFfGF0", (171, URL), "=", (8, CAPITALS)),
    "AWS": partial(_joined, "AKIA", (16, UPPER + "234567")),
    "Artifactory": partial(_joined, "AKCp", (69, ALNUM)),
    "Azure AD client": partial(_joined, (3, ALNUM), "8Q~", (31, URL)),
    "Azure AD client with marks": partial(_joined, (3, ALNUM), "8Q~", (10, ALNUM), ".~", (20, ALNUM), ".A"),
    "Azure DevOps": partial(_joined, (76, ALNUM), "AZDO", (4, ALNUM)),
    "Bitbucket": partial(_joined, "ATBB", (32, ALNUM)),
    "Brevo": partial(_joined, "xkeysib-", (64, HEX), "-", (16, ALNUM)),
    "Buildkite": partial(_joined, "bkua_", (40, HEX)),
    "CircleCI": partial(_joined, "CCIPAT_", (22, ALNUM), "_", (40, HEX)),
    "Cloudflare origin": partial(_joined, "v1.0-", (24, HEX), "-", (146, HEX)),
    "Databricks": partial(_joined, "dapi", (32, HEX)),
    "Databricks of Azure": partial(_joined, "dapi", (32, HEX), "-2"),
    "DigitalOcean": partial(_joined, "dop_v1_", (64, HEX)),
    "DigitalOcean OAuth": partial(_joined, "doo_v1_", (64, HEX)),
    "Docker Hub": partial(_joined, "dckr_pat_", (27, URL)),
    "Doppler": partial(_joined, "dp.pt.", (43, ALNUM)),
    "Doppler service": partial(_joined, "dp.st.production.", (43, ALNUM)),
    "Dynatrace": partial(_joined, "dt0c01.", (24, CAPITALS), ".", (64, CAPITALS)),
    "Figma": partial(_joined, "figd_", (40, URL)),
    "Fly": partial(_joined, "fm2_", (160, BASE64)),
    "GitHub": partial(_joined, "ghp_", (36, ALNUM)),
    "GitHub fine-grained": partial(_joined, "github_pat_", (22, ALNUM), "_", (59, ALNUM)),
    "GitLab": partial(_joined, "glpat-", (20, URL)),
    "GitLab runner": partial(_joined, "glrt-", (20, URL)),
    "GitLab trigger": partial(_joined, "glptt-", (40, HEX)),
    "Google access": partial(_joined, "ya29.", (150, URL)),
    "Google API": partial(_joined, "AIza", (35, URL)),
    "Google OAuth": partial(_joined, "GOCSPX-", (28, URL)),
    "Grafana": partial(_joined, "glsa_", (32, ALNUM), "_", (8, HEX)),
    "Grafana Cloud": partial(_eyj, "glc_", 60),
    "Groq": partial(_joined, "gsk_", (52, ALNUM)),
    "Harness": partial(_joined, "pat.", (22, ALNUM), ".", (24, HEX), ".", (20, ALNUM)),
    "Heroku": partial(_joined, "HRKU-AA", (58, URL)),
    "Hugging Face": partial(_joined, "hf_", (34, string.ascii_letters)),
    "Linear": partial(_joined, "lin_api_", (40, ALNUM)),
    "Mailchimp": partial(_joined, (32, HEX), "-us12"),
    "Netlify": partial(_joined, "nfp_", (36, ALNUM)),
    "New Relic": partial(_joined, "NRAK-", (27, CAPITALS)),
    "New Relic licence": partial(_joined, (36, HEX), "NRAL"),
    "Notion": partial(_joined, "ntn_", (11, DIGITS), (35, ALNUM)),
    "npm": partial(_joined, "npm_", (36, ALNUM)),
    "NuGet": partial(_joined, "oy2", (43, SMALL)),
    "1Password": partial(_eyj, "ops_", 500),
    "1Password key": partial(_joined, "A3-", (6, CAPITALS), "-", (11, CAPITALS), *("-", (5, CAPITALS)) * 3),
    "OpenAI": partial(_joined, "sk-", (20, ALNUM), "T3BlbkFJ", (20, ALNUM)),
    "OpenAI project": partial(_joined, "sk-proj-", (74, URL), "T3BlbkFJ", (74, URL)),
    "OpenAI service": partial(_joined, "sk-svcacct-", (58, URL), "T3BlbkFJ", (58, URL)),
    "Perplexity": partial(_joined, "pplx-", (48, ALNUM)),
    "PlanetScale": partial(_joined, "pscale_tkn_", (43, URL)),
    "PlanetScale password": partial(_joined, "pscale_pw_", (43, URL)),
    "Postman": partial(_joined, "PMAK-", (24, HEX), "-", (34, HEX)),
    "Pulumi": partial(_joined, "pul-", (40, HEX)),
    "PyPI": partial(_joined, "pypi-AgEIcHlwaS5vcmc", (150, URL)),
    "Replicate": partial(_joined, "r8_", (37, ALNUM)),
    "RubyGems": partial(_joined, "rubygems_", (48, HEX)),
    "SendGrid": partial(_joined, "SG.", (22, URL), ".", (43, URL)),
    "Sentry": partial(_eyj, "sntrys_", 160),
    "Sentry user": partial(_joined, "sntryu_", (64, HEX)),
    "Shippo": partial(_joined, "shippo_live_", (40, HEX)),
    "Shopify": partial(_joined, "shpat_", (32, HEX)),
    "Slack": partial(_joined, "xoxb-", (12, DIGITS), "-", (12, DIGITS), "-", (24, SMALL)),
    "Slack app": partial(_joined, "xapp-1-A", (10, CAPITALS), "-", (13, DIGITS), "-", (64, HEX)),
    "SonarQube": partial(_joined, "squ_", (40, HEX)),
    "Stripe": partial(_joined, "sk_live_", (24, ALNUM)),
    "Stripe of today": partial(_joined, "sk_live_51", (97, ALNUM)),
    "Stripe webhook": partial(_joined, "whsec_", (32, ALNUM)),
    "Supabase": partial(_joined, "sbp_", (40, HEX)),
    "Tailscale": partial(_joined, "tskey-auth-", (17, ALNUM), "-", (32, ALNUM)),
    "Telegram": partial(_joined, (9, DIGITS), ":AA", (33, ALNUM)),
    "Terraform": partial(_joined, (14, ALNUM), ".atlasv1.", (67, ALNUM)),
    "Twilio": partial(_joined, "SK", (32, HEX)),
    "Vault": partial(_joined, "hvs.", (90, URL)),
    "Vault batch": partial(_joined, "hvb.", (130, URL)),
}
NAMED: dict[str, tuple[str, Callable[[], str]]] = {
    "AWS": ("AWS_SECRET_ACCESS_KEY", partial(_of, 40, BASE64)),
    "AWS in an option": ("awsSecretKey", partial(_of, 40, BASE64)),
    "Artifactory password": ("ARTIFACTORY_PASSWORD", partial(_joined, "AP5", (40, ALNUM))),
    "Cloudflare": ("CLOUDFLARE_API_TOKEN", partial(_of, 40, URL)),
    "Cloudflare global": ("cloudflare_api_key", partial(_of, 37, HEX)),
    "Confluent": ("confluent.secret", partial(_of, 64, BASE64)),
    "LaunchDarkly": ("LAUNCHDARKLY_SDK_KEY", lambda: f"sdk-{_uuid()}"),
    "Mailgun": ("MAILGUN_API_KEY", partial(_joined, "key-", (32, HEX))),
    "Mailgun of today": ("mailgunKey", partial(_joined, (32, HEX), "-", (8, HEX), "-", (8, HEX))),
    "ngrok": ("NGROK_AUTHTOKEN", partial(_joined, (27, ALNUM), "_", (21, ALNUM))),
    "Okta": ("okta_api_token", partial(_joined, "00", (40, URL))),
}
"""Tokens without a mark of their issuer, with a name that is usual for the variable."""
LINES = {
    ".env": "{name}={token}\n",
    "YAML": "  {name}: {token}\n",
    "JSON": '{{"{name}": "{token}"}}\n',
    "Python": "    {name} = '{token}'  # of the shop\n",
    "shell": 'export {name}="{token}"; run\n',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
def test_a_token_of_a_known_form_is_found(make: Callable[[], str], line: str) -> None:
    token = make()

    found = [hit.secret.reveal().decode() for hit in hits(line.format(name="VALUE", token=token))]

    assert [one in token and len(one) > 3 * len(token) / 4 for one in found] == [True]


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize(("name", "make"), NAMED.values(), ids=NAMED)
def test_a_token_without_a_mark_is_found_by_its_name(name: str, make: Callable[[], str], line: str) -> None:
    token = make()

    found = list(hits(line.format(name=name, token=token)))

    assert [hit.secret.reveal() == token.encode() for hit in found] == [True]
    assert not list(hits(line.format(name="VALUE", token=token)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DRAWN.randbytes(32).hex(),
        lambda: base64.urlsafe_b64encode(DRAWN.randbytes(32)).decode().rstrip("="),
        lambda: base64.b64encode(DRAWN.randbytes(64)).decode(),
        lambda: _of(48),
        _uuid,
    ],
    ids=["hex", "URL-safe base64", "base64", "letters and digits", "UUID"],
)
def test_a_random_value_has_no_form(make: Callable[[], str]) -> None:
    assert not list(hits("".join(f"VALUE={make()}\n" for _ in range(2_000))))


@pytest.mark.parametrize(
    "line",
    [
        'os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "{}")',
        "aws: {{ secretAccessKey: '{}' }}",
        '\\"aws_secret_key\\": \\"{}\\"',
        "ENV['AWS_SECRET_ACCESS_KEY'] ||= '{}'",
        "aws configure set aws_secret_access_key {}",
        "<awsSecretKey>{}</awsSecretKey>",
    ],
)
def test_a_key_of_aws_is_found_as_programs_write_it(line: str) -> None:
    key = _of(40, BASE64)

    assert [hit.secret.reveal().decode() for hit in hits(line.format(key))] == [key]


@pytest.mark.parametrize(
    "text",
    [
        "AWS_SECRET_ACCESS_KEY=\n" + "0a1b2c3d" * 5 + "  file.tar",
        "AKC" + "b" * 61,
        "sha512-" + "aAwS1pW+x" * 9 + "==",
        f"aws_sdk_digest={'0a1b2c3d' * 5}",
    ],
    ids=["another line", "begins like a key of Artifactory", "has aws and pw", "digest"],
)
def test_a_text_that_resembles_a_form_is_none(text: str) -> None:
    assert not list(hits(f"VALUE={text}\n"))


def test_a_key_of_artifactory_is_found_in_its_line_and_can_be_allowed() -> None:
    key = _joined("AKCp", (69, ALNUM))

    assert [hit.line for hit in hits(f"a = 1\n{key}\nb = 2\n")] == [1]
    assert not list(hits(f"{key} pragma: allowlist secret\n"))
    assert list(hits(f"# pragma: allowlist secret\n{key}\n"))


def test_no_text_of_this_repository_has_a_form() -> None:
    ours = {f"{issuer} token" for issuer, _ in TOKEN_FORMS}
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    texts = {path: path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file()}

    found = {
        (str(path.relative_to(ROOT)), hit.line + 1, hit.rule)
        for path, text in texts.items()
        for hit in hits(text)
        if hit.rule in ours
    }

    assert len(texts) > 500
    assert found == set()

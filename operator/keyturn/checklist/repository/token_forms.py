"""Known forms of tokens that services issue, as data.

A form has a prefix or mark of its issuer, so that a random text has it by no chance worth mentioning. Where the
issuer gives its tokens no mark, its name has to stand before the token.
"""

from __future__ import annotations

from typing import Final

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def _named(issuer: str, form: str) -> str:
    """Return the form of a token as the value of a name, such as CLOUDFLARE_TOKEN or okta.token."""
    return rf"(?i:{issuer})[\w .\-\[\]\"']{{0,40}}(?:=>|:=|[:=])[\s\"'>]{{0,4}}({form})"


TOKEN_FORMS: Final[tuple[tuple[str, str], ...]] = (
    # Source code and packages.
    ("GitHub", r"github_pat_[A-Za-z0-9_]{80,90}"),
    ("GitLab", r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|agent|imt|oas)-[A-Za-z0-9_-]{20,}"),
    ("Bitbucket", r"ATBB[A-Za-z0-9]{32}"),
    ("Atlassian", r"AT[AC]TT3[A-Za-z0-9_=-]{100,250}"),
    ("Azure DevOps", r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"),
    ("Artifactory", r"AKCp[A-Za-z0-9]{69}"),
    ("Artifactory", _named(r"artif\w*|jfrog|buildkite", "AP[0-9A-F][A-Za-z0-9]{8,200}")),
    ("npm", r"npm_[A-Za-z0-9]{36}"),
    ("PyPI", r"pypi-AgE[A-Za-z0-9_-]{50,300}"),
    ("RubyGems", r"rubygems_[a-f0-9]{48}"),
    ("NuGet", r"oy2[a-z0-9]{43}"),
    ("Docker Hub", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,60}"),
    ("Buildkite", r"bk(?:ua|at|ct|aj)_[A-Za-z0-9]{40}"),
    ("CircleCI", r"CCI(?:PAT|PRJ)_[A-Za-z0-9]{22}_[a-f0-9]{40}"),
    ("SonarQube", r"sq[apu]_[a-f0-9]{40}"),
    # Clouds and hosting.
    (
        "AWS",
        (
            r"(?i:aws.{0,20}?(?:key|pwd|pw|pass|token)).{0,20}?"
            r"(?<![A-Za-z0-9/+])([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
        ),
    ),
    ("Google API", r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("Google OAuth", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    ("Google access", r"ya29\.[A-Za-z0-9_-]{60,}"),
    ("Azure AD client", r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    ("Azure Storage", r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    ("DigitalOcean", r"do[opr]_v1_[a-f0-9]{64}"),
    ("Heroku", r"HRKU-[A-Za-z0-9_-]{60}"),
    ("Fly", r"fm[12][ar]?_[A-Za-z0-9+/]{100,}={0,2}"),
    ("Netlify", r"nfp_[A-Za-z0-9]{36}"),
    ("Cloudflare origin", r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    ("Cloudflare", _named("cloudflare", "[A-Za-z0-9_-]{40}(?![A-Za-z0-9_-])|[a-f0-9]{37}(?![A-Za-z0-9_-])")),
    ("Tailscale", r"tskey-(?:auth|api|client|webhook|scim)-[A-Za-z0-9]+-[A-Za-z0-9]{20,}"),
    ("ngrok", _named("ngrok", "[A-Za-z0-9]{24,30}_[A-Za-z0-9]{19,24}")),
    # Infrastructure and secrets.
    ("Vault", r"hv[sbr]\.[A-Za-z0-9_-]{24,200}"),
    ("Terraform", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}"),
    ("Pulumi", r"pul-[a-f0-9]{40}"),
    ("Doppler", r"dp\.(?:pt|ct|sa|scim|audit|st(?:\.[a-z0-9_-]{2,35})?)\.[A-Za-z0-9]{40,44}"),
    ("1Password", r"ops_eyJ[A-Za-z0-9+/=_-]{100,}"),
    (
        "1Password",
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
    ),
    ("age", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("Harness", r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}"),
    # Data.
    ("Databricks", r"dapi[a-f0-9]{32}(?:-\d)?"),
    ("PlanetScale", r"pscale_(?:pw|tkn|oauth)_[A-Za-z0-9_.=-]{32,64}"),
    ("Supabase", r"sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{31,40}"),
    ("Airtable", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    ("Confluent", _named("confluent", "[A-Za-z0-9+/]{64}(?![A-Za-z0-9+/])")),
    # Models.
    ("OpenAI", r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,200}"),
    ("OpenAI", r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    ("Anthropic", r"sk-ant-[a-z]{3,6}\d{2}-[A-Za-z0-9_-]{80,120}"),
    ("Hugging Face", r"hf_[A-Za-z0-9]{34,37}"),
    ("Groq", r"gsk_[A-Za-z0-9]{52}"),
    ("Perplexity", r"pplx-[A-Za-z0-9]{48}"),
    ("Replicate", r"r8_[A-Za-z0-9]{37}"),
    # Monitoring.
    ("Grafana", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_eyJ[A-Za-z0-9+/=]{30,}"),
    ("Sentry", r"sntryu_[a-f0-9]{64}|sntrys_eyJ[A-Za-z0-9+/=_-]{80,}"),
    ("New Relic", r"NRAK-[A-Z0-9]{27}|NRII-[A-Za-z0-9_-]{32}|[a-f0-9]{36}NRAL"),
    ("Dynatrace", r"dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    # Mail, chat, payments and shops.
    ("Brevo", r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    ("Mailgun", _named("mailgun", "key-[a-f0-9]{32}|[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}")),
    ("Slack", r"xapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{64}"),
    ("Telegram", r"\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    ("Stripe", r"[rs]k_live_[A-Za-z0-9]{24,250}"),
    ("Stripe webhook", r"whsec_[A-Za-z0-9+/]{32,}={0,2}"),
    ("Shopify", r"shp(?:at|ca|pa|ss|ua)_[a-fA-F0-9]{32}"),
    ("Shippo", r"shippo_live_[a-f0-9]{40}"),
    # Work and accounts.
    ("Linear", r"lin_(?:api|oauth)_[A-Za-z0-9]{40,64}"),
    ("Notion", r"ntn_\d{11}[A-Za-z0-9]{35}"),
    ("Figma", r"fig[dou]r?_[A-Za-z0-9_-]{40}"),
    ("Postman", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    ("Okta", _named("okta", "00[A-Za-z0-9_-]{40}(?![A-Za-z0-9_-])")),
    ("LaunchDarkly", _named("launch_?darkly|ld_sdk", f"(?:api|sdk)-{_UUID}")),
)
"""The issuer, and a regular expression; a group in it is the token.

No form begins with a word boundary: the search for a literal prefix is ten times as fast, and a match that is a part
of a longer word is refused afterwards.
"""

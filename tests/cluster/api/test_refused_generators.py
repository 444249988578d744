"""What the API server answers to generators under the floor, in an item as in a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.api.objects import managed_secret, secret_class

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_SHORT = "a password needs at least 32 characters; write length: 32 or more"
_NO_CHARACTERS = "a password needs characters; leave at least one of lower, upper, digits and symbols on"
_NO_PUNCTUATION = "symbolCharacters takes ASCII punctuation only, such as -_.~; write symbols: false for none"
_SMALL_RSA = "an RSA key needs 3072 bits to be as strong as 128 bits of entropy; write bits: 3072 or more"
_USERNAME = (
    "a user name has printable ASCII characters without blanks and colons, and does not begin with #;"
    " write such a name"
)
_LABEL = "apps split the label at its colon; write a text without a colon"
_DNS_NAME = "write a DNS name in lower case, such as shop.test or *.shop.test"
_ISSUER = "exactly one signs; write selfSigned: {} or secretRef: {name: the Secret of a CA}"
_OFF = {"lower": False, "upper": False, "digits": False, "symbols": False}


def too_short(length: int, encoding: str) -> tuple[str, Body, str]:
    sentence = (
        "bytes: Invalid value: a generated value needs at least 32 characters;"
        f" write length: {length + 1} or more with encoding {encoding}"
    )
    return ("bytes", {"length": length, "encoding": encoding}, sentence)


GENERATORS = {
    "a password of 31 characters": (
        "password",
        {"length": 31},
        f"password.length: Invalid value: 31: {_SHORT}",
    ),
    "a password of 1025 characters": (
        "password",
        {"length": 1025},
        (
            "password.length: Invalid value: 1025: {field}.password.length in body should be less than"
            " or equal to"
            " 1024"
        ),
    ),
    "a password's length in words": (
        "password",
        {"length": "40"},
        (
            'password.length: Invalid value: "string": {field}.password.length in body must be of'
            " type integer:"
            ' "string"'
        ),
    ),
    "a password of nothing": (
        "password",
        _OFF,
        f"password: Invalid value: {_NO_CHARACTERS}",
    ),
    "symbols that are off and named": (
        "password",
        {"symbols": False, "symbolCharacters": "-"},
        "password: Invalid value: symbols: false makes symbolCharacters useless; remove one of them",
    ),
    "symbols that are letters": (
        "password",
        {"symbolCharacters": "ab"},
        f'password.symbolCharacters: Invalid value: "ab": {_NO_PUNCTUATION}',
    ),
    "symbols that are none": (
        "password",
        {"symbolCharacters": ""},
        f'password.symbolCharacters: Invalid value: "": {_NO_PUNCTUATION}',
    ),
    "a blank that is excluded": (
        "password",
        {"exclude": " "},
        (
            'password.exclude: Invalid value: " ": exclude takes printable ASCII characters without'
            " spaces, such as"
            " 0O1lI"
        ),
    ),
    "21 bytes without an encoding": (
        "bytes",
        {"length": 21},
        too_short(21, "base64")[2],
    ),
    "21 bytes in base64": too_short(21, "base64"),
    "23 bytes in base64url": too_short(23, "base64url"),
    "15 bytes in hex": too_short(15, "hex"),
    "15 bytes in base32": too_short(15, "base32"),
    "31 raw bytes": too_short(31, "raw"),
    "4097 bytes": (
        "bytes",
        {"length": 4097},
        (
            "bytes.length: Invalid value: 4097: {field}.bytes.length in body should be less than or"
            " equal to 4096"
        ),
    ),
    "an encoding that does not exist": (
        "bytes",
        {"encoding": "rot13"},
        (
            'bytes.encoding: Unsupported value: "rot13": supported values: "base64", "base64url", "hex",'
            ' "base32",'
            ' "raw"'
        ),
    ),
    "a passphrase of nine words": (
        "passphrase",
        {"words": 9},
        "passphrase.words: Invalid value: 9: 128 bits of entropy need 10 words; write words: 10 or more",
    ),
    "a passphrase of 65 words": (
        "passphrase",
        {"words": 65},
        (
            "passphrase.words: Invalid value: 65: {field}.passphrase.words in body should be less than or"
            " equal to 64"
        ),
    ),
    "a separator of letters": (
        "passphrase",
        {"separator": "x"},
        (
            'passphrase.separator: Invalid value: "x": separator takes one to four digits, blanks or marks of'
            " ASCII, such as -; letters look like words"
        ),
    ),
    "an RSA key of 2048 bits": (
        "rsaKey",
        {"bits": 2048},
        f"rsaKey.bits: Invalid value: 2048: {_SMALL_RSA}",
    ),
    "an RSA key of an odd size": (
        "rsaKey",
        {"bits": 3073},
        "rsaKey.bits: Invalid value: 3073: an RSA key has an even number of bits; write one, such as 4096",
    ),
    "an RSA key in a form of other keys": (
        "rsaKey",
        {"format": "SEC1"},
        'rsaKey.format: Unsupported value: "SEC1": supported values: "PKCS8", "PKCS1"',
    ),
    "a curve that is not made": (
        "ecKey",
        {"curve": "secp256k1"},
        'ecKey.curve: Unsupported value: "secp256k1": supported values: "P-256", "P-384", "P-521"',
    ),
    "an SSH key of yesterday": (
        "sshKey",
        {"type": "dsa"},
        'sshKey.type: Unsupported value: "dsa": supported values: "ed25519", "rsa", "ecdsa"',
    ),
    "a comment of two lines": (
        "sshKey",
        {"comment": "a\nb"},
        (
            'sshKey.comment: Invalid value: "a\\nb": a comment has printable ASCII characters, such as'
            " deploy@shop; write so"
        ),
    ),
    "tokens that are not signed": (
        "jwks",
        {"algorithm": "none"},
        'jwks.algorithm: Unsupported value: "none": supported values: "ES256", "RS256", "EdDSA"',
    ),
    "a user name with a colon": (
        "basicAuth",
        {"username": "a:b"},
        f'basicAuth.username: Invalid value: "a:b": {_USERNAME}',
    ),
    "a user name that makes the line a comment": (
        "basicAuth",
        {"username": "#a"},
        f'basicAuth.username: Invalid value: "#a": {_USERNAME}',
    ),
    "a basic password of 31 characters": (
        "basicAuth",
        {"length": 31},
        f"basicAuth.length: Invalid value: 31: {_SHORT}",
    ),
    "a basic password that bcrypt would cut": (
        "basicAuth",
        {"length": 73},
        (
            "basicAuth.length: Invalid value: 73: {field}.basicAuth.length in body should be less than or"
            " equal to 72"
        ),
    ),
    "a registry with a blank": (
        "dockerConfig",
        {"registry": "a b", "username": "u", "passwordFrom": {"name": "p"}},
        (
            'dockerConfig.registry: Invalid value: "a b": write the registry as images name it, such as'
            " registry.shop.test:5000 or https://index.docker.io/v1/"
        ),
    ),
    "a registry without a password": (
        "dockerConfig",
        {"registry": "registry.shop.test", "username": "u"},
        "dockerConfig.passwordFrom: Required value",
    ),
    "one-time passwords of nobody": (
        "totp",
        {},
        "totp.account: Required value",
    ),
    "an account with a colon": (
        "totp",
        {"account": "a:b"},
        f'totp.account: Invalid value: "a:b": {_LABEL}',
    ),
    "an issuer with a colon": (
        "totp",
        {"account": "a", "issuer": "a:b"},
        f'totp.issuer: Invalid value: "a:b": {_LABEL}',
    ),
    "a certificate of nobody": (
        "certificate",
        {"duration": "30d"},
        ("certificate: Invalid value: a certificate needs a name; write commonName, dnsNames or ipAddresses"),
    ),
    "a CA without a name": (
        "certificate",
        {"isCA": True, "dnsNames": ["shop.test"]},
        "certificate: Invalid value: the certificate of a CA needs a name; write commonName",
    ),
    "a CA with usages": (
        "certificate",
        {"isCA": True, "commonName": "CA", "usages": ["serverAuth"]},
        "certificate: Invalid value: a CA signs certificates and nothing else; remove usages",
    ),
    "a common name of two lines": (
        "certificate",
        {"commonName": "a\nb"},
        'certificate.commonName: Invalid value: "a\\nb": commonName is text of one line; write such as shop.test',
    ),
    "a host name in capitals": (
        "certificate",
        {"dnsNames": ["Shop.test"]},
        f'certificate.dnsNames[0]: Invalid value: "Shop.test": {_DNS_NAME}',
    ),
    "a star in the middle of a name": (
        "certificate",
        {"dnsNames": ["a.*.test"]},
        f'certificate.dnsNames[0]: Invalid value: "a.*.test": {_DNS_NAME}',
    ),
    "a first host name that no subject can hold": (
        "certificate",
        {"dnsNames": [f"{'a' * 60}.test"]},
        "certificate: Invalid value: the first name is longer than 64 characters; write commonName",
    ),
    "half an IP address": (
        "certificate",
        {"ipAddresses": ["10.0.0"]},
        (
            'certificate.ipAddresses[0]: Invalid value: "10.0.0": write an IP address, such as 10.0.0.1 or'
            " fd00::1"
        ),
    ),
    "a usage that is not made": (
        "certificate",
        {"commonName": "a", "usages": ["any"]},
        (
            'certificate.usages[0]: Unsupported value: "any": supported values: "serverAuth", "clientAuth",'
            ' "codeSigning", "emailProtection"'
        ),
    ),
    "a certificate that lasts no time": (
        "certificate",
        {"commonName": "a", "duration": "0s"},
        (
            'certificate.duration: Invalid value: "0s": write a duration such as 90d, 2160h or 1d12h (units s m'
            " h d w), longer than zero"
        ),
    ),
    "a certificate that two sign": (
        "certificate",
        {"commonName": "a", "issuer": {"selfSigned": {}, "secretRef": {"name": "ca"}}},
        f"certificate.issuer: Invalid value: {_ISSUER}",
    ),
    "a certificate that nobody signs": (
        "certificate",
        {"commonName": "a", "issuer": {}},
        f"certificate.issuer: Invalid value: {_ISSUER}",
    ),
    "a certificate with two kinds of key": (
        "certificate",
        {"commonName": "a", "key": {"ec": {}, "rsa": {}}},
        ("certificate.key: Invalid value: write exactly one kind of key, such as key: {rsa: {bits: 3072}}"),
    ),
    "a certificate with a small RSA key": (
        "certificate",
        {"commonName": "a", "key": {"rsa": {"bits": 2048}}},
        f"certificate.key.rsa.bits: Invalid value: 2048: {_SMALL_RSA}",
    ),
    "a UUID's version that is not made": (
        "uuid",
        {"version": 1},
        'uuid.version: Unsupported value: 1: supported values: "4", "7"',
    ),
}


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [pytest.param(*case, id=name) for name, case in GENERATORS.items()],
)
def test_the_refusal_says_what_is_wrong(
    kind: str, settings: dict[str, Any], sentence: str, objects: Objects
) -> None:
    generate = {kind: settings}

    answers = (
        objects.refusals(managed_secret({"name": "token", "generate": generate})),
        objects.refusals(secret_class(generate=generate)),
    )

    in_item, in_class = "spec.data[0].generate", "spec.generate"
    assert answers == (
        [f"{in_item}.{sentence.replace('{field}', in_item)}"],
        [f"{in_class}.{sentence.replace('{field}', in_class)}"],
    )

"""SSH keys, as ssh-keygen reads, uses and writes them."""

import functools
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from keyturn.core.errors import Stalled
from tests.unit.generators.generated import boxed, generator_of, made_by, run

TYPES = ("ed25519", "rsa", "ecdsa")


@functools.cache
def example(type_: str) -> dict[str, bytes]:
    return made_by("sshKey", type=type_, comment="deploy@shop")


def accepts(outputs: dict[str, bytes], **settings: Any) -> bool:
    return generator_of("sshKey", settings).accepts(boxed(outputs))


def saved(outputs: dict[str, bytes], folder: Path) -> Path:
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_bytes(outputs["privateKey"])
    (folder / "key.pub").write_bytes(outputs["publicKey"])
    return key


def keygen_made(folder: Path, *arguments: str) -> dict[str, bytes]:
    key = folder / "made"
    run("ssh-keygen", "-q", "-f", str(key), *arguments)
    return {"privateKey": key.read_bytes(), "publicKey": key.with_suffix(".pub").read_bytes()}


@pytest.mark.parametrize("type_", TYPES)
def test_ssh_keygen_derives_the_same_public_key(type_: str, tmp_path: Path) -> None:
    derived = run("ssh-keygen", "-y", "-f", str(saved(example(type_), tmp_path)))
    assert derived.split()[:2] == example(type_)["publicKey"].split()[:2]


@pytest.mark.parametrize(
    ("type_", "bits", "name"), [("ed25519", 256, "ED25519"), ("rsa", 3072, "RSA"), ("ecdsa", 256, "ECDSA")]
)
def test_ssh_keygen_sees_the_size_the_comment_and_the_type(
    type_: str, bits: int, name: str, tmp_path: Path
) -> None:
    saved(example(type_), tmp_path)
    size, _, comment, kind = run("ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")).decode().split()
    assert (size, comment, kind) == (str(bits), "deploy@shop", f"({name})")


@pytest.mark.parametrize("type_", TYPES)
def test_what_the_private_key_signs_the_public_one_verifies(type_: str, tmp_path: Path) -> None:
    key = saved(example(type_), tmp_path)
    signature = run("ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "file", stdin=b"text")
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "allowed").write_bytes(b"shop " + example(type_)["publicKey"] + b"\n")
    verify = ("-Y", "verify", "-n", "file", "-I", "shop", "-f", "allowed", "-s", "signature")
    assert b'Good "file" signature' in run("ssh-keygen", *verify, stdin=b"text", cwd=tmp_path)


def test_without_a_type_it_is_ed25519_and_without_a_comment_there_is_none() -> None:
    parts = made_by("sshKey")["publicKey"].split(b" ")
    assert (parts[0], len(parts)) == (b"ssh-ed25519", 2)


@pytest.mark.parametrize(
    ("type_", "arguments"), [("ed25519", []), ("rsa", ["-b", "3072"]), ("ecdsa", ["-b", "256"])], ids=TYPES
)
def test_a_key_that_ssh_keygen_made_is_accepted(type_: str, arguments: list[str], tmp_path: Path) -> None:
    found = keygen_made(tmp_path, "-t", type_, "-N", "", "-C", "somebody on a laptop", *arguments)
    assert accepts(found, type=type_)


@pytest.mark.parametrize("asked", TYPES)
def test_a_key_of_another_type_is_not_accepted(asked: str) -> None:
    assert [type_ for type_ in TYPES if accepts(example(type_), type=asked)] == [asked]


def test_a_key_of_another_size_is_not_accepted(tmp_path: Path) -> None:
    found = keygen_made(tmp_path, "-t", "ecdsa", "-b", "384", "-N", "")
    assert not accepts(found, type="ecdsa")


def test_a_key_under_a_password_is_not_accepted(tmp_path: Path) -> None:
    assert not accepts(keygen_made(tmp_path, "-t", "ed25519", "-N", "canary"))


def test_a_key_in_another_format_is_not_accepted() -> None:
    pem = made_by("ed25519Key")["privateKey"]
    assert not accepts({**example("ed25519"), "privateKey": pem})


def test_an_rsa_key_of_parts_that_do_not_belong_together_is_not_accepted() -> None:
    key = load_ssh_private_key(example("rsa")["privateKey"], None)
    assert isinstance(key, rsa.RSAPrivateKey)
    sound = key.private_numbers()
    spoilt = rsa.RSAPrivateNumbers(
        sound.p, sound.q, sound.d + 2, sound.dmp1, sound.dmq1, sound.iqmp, sound.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    written = spoilt.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    assert not accepts({**example("rsa"), "privateKey": written}, type="rsa")


@pytest.mark.parametrize(
    "line",
    [b'restrict,command="true" %b', b"# a comment\n%b", b"%b\n%b", b"ssh-ed25519 AAAA", b"ssh-what AAAA"],
    ids=["options", "a comment", "two lines", "no key", "no type"],
)
def test_anything_but_the_line_of_the_key_is_not_accepted(line: bytes) -> None:
    outputs = example("ed25519")
    assert not accepts({**outputs, "publicKey": line.replace(b"%b", outputs["publicKey"])})


@pytest.mark.parametrize("comment", [None, "another@shop"])
def test_another_comment_is_no_reason_for_another_key(comment: str | None) -> None:
    assert accepts(example("ed25519"), comment=comment)


@pytest.mark.parametrize("comment", ["", " a", "a ", "a\nb", "é", "a" * 129])
def test_a_comment_that_would_break_the_line_is_refused(comment: str) -> None:
    with pytest.raises(Stalled) as refusal:
        generator_of("sshKey", {"comment": comment})
    assert refusal.value.message == (
        "sshKey.comment: a comment has printable ASCII characters, such as deploy@shop; write so"
    )

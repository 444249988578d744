"""Which values of a manifest are real, and that no manifest takes long."""

from __future__ import annotations

import pytest

from keyturn.checklist.repository.manifests import keys_in

MANIFEST = "kind: Secret\nstringData:\n"
SIZE = 1024 * 1024


def filled(piece: str, size: int = SIZE) -> str:
    return piece * (size // len(piece))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "keys"),
    [
        pytest.param(f"{MANIFEST}  k: '{filled('{{')}'\n", {"k"}, id="open braces"),
        pytest.param(f"{MANIFEST}  k: '{filled('${a')}'\n", {"k"}, id="open variables"),
        pytest.param(
            f"{MANIFEST}  k: '{filled(' ', SIZE // 2)}{filled('<', SIZE // 2)}'\n", {"k"}, id="open guides"
        ),
        pytest.param("kind: Secret\n{{ if }}\n" + filled("data:\n"), set(), id="blocks of a template"),
        pytest.param(
            "kind: Secret\n{{ if }}\n"
            + "".join(f"{' ' * indent}data:\n" for indent in range(1_000))
            + f"{' ' * 1_000}k: {filled('${a', SIZE // 2)}\n",
            {"k"},
            id="blocks within blocks",
        ),
        pytest.param(
            f"a: &a '{filled('{{', SIZE // 2)}'\n{MANIFEST}"
            + "".join(f"  k{number}: *a\n" for number in range(30_000)),
            {f"k{number}" for number in range(30_000)},
            id="aliases of a value",
        ),
        pytest.param(
            "kind: List\na: &a {"
            + ",".join(f"k{number}: v" for number in range(30_000))
            + "}\nitems:\n"
            + filled("- {kind: Secret, data: *a}\n", SIZE // 2),
            {f"k{number}" for number in range(30_000)},
            id="aliases of all values",
        ),
        pytest.param(
            "kind: Secret\na: &a {"
            + ",".join(f"k{number}: v" for number in range(30_000))
            + "}\nb:\n"
            + filled("- {<<: *a}\n", SIZE // 2),
            set(),
            id="merges",
        ),
        pytest.param(
            "kind: Secret\na: &a {"
            + ",".join(f"k{number}: v" for number in range(30_000))
            + "}\nb: {<<: ["
            + filled("*a,", SIZE // 2)
            + "]}\n",
            set(),
            id="merges of a list",
        ),
    ],
)
def test_a_manifest_takes_time_in_proportion_to_its_size(text: str, keys: set[str]) -> None:
    assert keys_in(text) == keys


def test_a_number_with_thousands_of_digits_is_a_value() -> None:
    number = f"0x{'f' * 10_000}"
    assert keys_in(f"{MANIFEST}  k: {number}\n  ? {number}\n  : v\n") == {"k", "…"}


def test_merged_values_are_real_values() -> None:
    text = "base: &base {password: Tr0ub4dor, user: changeme}\n" + MANIFEST + "  <<: *base\n  host: db\n"
    assert keys_in(text) == {"password", "host"}


@pytest.mark.parametrize(
    ("value", "is_real"),
    [
        ("a {{ .Values.password }} b", False),
        ('{{ printf "%s" (dict "a" "{}") }}', False),
        ("}} a {{", True),
        ("{{ a", True),
        ("a ${B} c", False),
        ("a $DB_PASS c", False),
        ("https://a:$b@c", False),
        ("a\n  please change-me now", False),
        ("REPLACE_THIS", False),
        ("the placeholder", False),
        ("your password", False),
        ("ENC[AES256_GCM,data:x]", False),
        (" <password> ", False),
        ("ref+vault://a", False),
        ("xxxx", False),
        ("xx", True),
        ("unreplaced", True),
        ("12345678", True),
    ],
)
def test_what_stands_for_a_value_is_none(value: str, *, is_real: bool) -> None:
    block = value.replace("\n", "\n    ")
    assert keys_in(f"{MANIFEST}  k: |-\n    {block}\n") == ({"k"} if is_real else set())


def test_a_template_is_read_by_line_up_to_the_end_of_each_block() -> None:
    text = """kind: Secret
{{- if .Values.db }}
data:
  a: Tr0ub4dor
  inner: x
  data:
    b: Tr0ub4dor
  c: Tr0ub4dor
other:
  d: Tr0ub4dor
stringData:
  e: {{ .Values.e }}
{{- end }}
  f: Tr0ub4dor
"""
    assert keys_in(text) == {"a", "inner", "b", "c"}

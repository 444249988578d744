"""Names and texts as SQL, independent of the server's settings."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Quote a name, whatever characters it has."""
    return '"' + _checked(name).replace('"', '""') + '"'


def identifiers(*names: str) -> str:
    """Quote several names, separated by commas."""
    return ", ".join(identifier(name) for name in names)


def literal(text: str) -> str:
    """Quote a text, as an E string if it has a backslash: otherwise a setting of the server decides what that is."""
    quoted = "'" + _checked(text).replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL has no text with a zero byte")
    return text

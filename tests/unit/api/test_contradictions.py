import re

from keyturn.api.contradictions import OF_SPEC

_ALONE = {"data", "dataFrom", "className"}
"""What the rules read that apply to a spec with only data or dataFrom."""


def test_a_rule_about_several_fields_reads_none_of_a_spec_with_one() -> None:
    """The API server copies the schema of the spec for each field that a rule reads, at each status update too."""
    about_others = [rule for rule, *_ in OF_SPEC if set(re.findall(r"self\.(\w+)", rule)) - _ALONE]

    assert len(about_others) == len(OF_SPEC) - 2
    assert all(rule.startswith("dyn(self).size() == 1 || ") for rule in about_others)

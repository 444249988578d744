"""In which order findings are read, and what they come to for each point."""

from __future__ import annotations

from keyturn.core.policy.findings import Finding, Point, Verdict, in_order


def test_findings_come_by_their_points_and_the_worst_first() -> None:
    unknown = Finding(Point.AT_REST, Verdict.UNKNOWN, "not asked")
    failed = Finding(Point.AT_REST, Verdict.FAIL, "plain", where="b")
    other = Finding(Point.AT_REST, Verdict.FAIL, "plain", where="a")
    strong = Finding(Point.STRENGTH, Verdict.PASS, "strong")

    report = in_order([unknown, failed, other, strong])

    assert report.findings == (strong, other, failed, unknown)
    assert report.verdicts == {Point.STRENGTH: Verdict.PASS, Point.AT_REST: Verdict.FAIL}
    assert report.has(Verdict.UNKNOWN)
    assert not report.has(Verdict.NOT_APPLICABLE)


def test_a_point_has_its_number_and_its_sentence() -> None:
    assert [point.number for point in Point] == list(range(1, 9))
    assert Point.AT_REST.asks == "Secrets are encrypted at rest"


def test_points_are_counted_by_their_verdicts() -> None:
    report = in_order(
        [
            Finding(Point.AT_REST, Verdict.FAIL, "plain"),
            Finding(Point.AT_REST, Verdict.PASS, "encrypted"),
            Finding(Point.STRENGTH, Verdict.PASS, "strong"),
        ]
    )

    assert report.counts == {
        Verdict.FAIL: 1,
        Verdict.UNKNOWN: 0,
        Verdict.PASS: 1,
        Verdict.NOT_APPLICABLE: 0,
    }

import pytest

from benchmarks import load


def run(controller: float = 5, api_server: float = 12, calls: float = 3, work: float = 2) -> dict[str, float]:
    costs = {"controller_ms": controller, "api_server_ms": api_server, "etcd_ms": 2 * work / 2}
    return {**costs, "calls": calls, "work_ms": work}


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (run(controller=5.49), []),
        (run(controller=5.51), ["controller_ms"]),
        (run(api_server=13.3), ["api_server_ms"]),
        (run(calls=3.4), ["calls"]),
        (run(controller=4, api_server=10), []),
    ],
    ids=["less than a tenth", "more than a tenth", "the API server", "calls", "cheaper"],
)
def test_a_counter_has_grown_when_it_is_more_than_a_tenth_above(
    now: dict[str, float], names: list[str]
) -> None:
    assert [one.split()[0] for one in load.grown([run()], [now])] == names


def test_a_machine_that_is_half_as_fast_grows_no_counter() -> None:
    assert load.grown([run()], [run(controller=10, api_server=24, work=4)]) == []


def test_the_least_of_several_runs_counts() -> None:
    assert load.grown([run()], [run(controller=9), run()]) == []
    assert load.grown([run(controller=9), run()], [run(controller=9)]) != []

"""The operator as a process: what it tells over HTTP, and how it ends."""

from datetime import datetime

from sandbox.harness import eventually
from tests.cluster.namespace import Space
from tests.cluster.workloads import deployment, env_from
from tests.support.operator import Operator


def series(operator: Operator) -> dict[str, float]:
    """Return every series by its name and labels, as Prometheus would read them."""
    status, text = operator.get("/metrics")
    assert status == 200
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(number) for name, number in lines}


def of_object(operator: Operator, space: Space) -> dict[str, float]:
    """Return the series of a namespace's objects, without the namespace."""
    label = f'namespace="{space.namespace}",'
    return {name.replace(label, ""): number for name, number in series(operator).items() if label in name}


def timestamp(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def test_metrics_report_how_each_object_is(space: Space, operator: Operator) -> None:
    status = space.managed(className="database-password")
    status = space.rotated()

    assert of_object(operator, space) == {
        'keyturn_secret_info{name="auth",class="database-password",priority="Critical",owner=""}': 1,
        'keyturn_secret_revision{name="auth"}': 2,
        'keyturn_last_rotation_timestamp_seconds{name="auth"}': timestamp(status["lastRotationTime"]),
        'keyturn_next_rotation_timestamp_seconds{name="auth"}': timestamp(status["nextRotationTime"]),
        'keyturn_rotation_overdue{name="auth"}': 0,
        'keyturn_rotation_due{name="auth"}': 0,
        'keyturn_condition{name="auth",type="Ready"}': 1,
        'keyturn_condition{name="auth",type="Rotating"}': 0,
        'keyturn_condition{name="auth",type="WorkloadsCurrent"}': 1,
        'keyturn_condition{name="auth",type="PolicyCompliant"}': 1,
    }


def test_the_series_of_an_object_go_with_it(space: Space, operator: Operator) -> None:
    space.managed()
    before = len(of_object(operator, space))

    space.delete("ManagedSecret", "auth")

    assert before
    eventually(lambda: not of_object(operator, space), "no series of what is gone")


def test_metrics_count_what_was_done(space: Space, operator: Operator) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    counters = (
        'keyturn_rotations_total{reason="Triggered",result="Succeeded"}',
        'keyturn_workload_restarts_total{kind="Deployment",result="Started"}',
        'keyturn_workload_restarts_total{kind="Deployment",result="Succeeded"}',
        "keyturn_drift_repaired_total",
        *(
            f'keyturn_rotation_step_seconds_count{{step="{step}"}}'
            for step in ("Stage", "Publish", "RollOut")
        ),
    )
    before = series(operator)

    space.rotated()
    space.edit("Secret", "auth", lambda secret: secret["data"].pop("token"))
    space.until_event("DriftRepaired")

    after = series(operator)
    assert [after[name] - before.get(name, 0) for name in counters] == [1] * len(counters)


def test_metrics_report_the_process(operator: Operator) -> None:
    found = series(operator)

    assert (found["keyturn_leader"], found["keyturn_queue_depth"]) == (1, 0)
    assert [name for name in found if name.startswith("keyturn_build_info{")]
    assert found["process_resident_memory_bytes"] > 0

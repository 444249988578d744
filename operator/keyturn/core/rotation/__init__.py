"""What happens next to a ManagedSecret: `decision.next_step(seen)` returns one step, or none.

First creation: Begin, Stage, Publish. Rotation: Stage, Publish, RollOut per workload, Overlap, Expire.
Crash between Stage and Publish: the state has the revision, so the next process publishes it. Rollback: GoBack,
Publish, RollOut; rotations are held until the spec changes.

Modules
    decision, steps                    the choice, and the steps
    triggers, reasons, emergency       why a revision is made; declared emergencies
    ownership, drift                   whether the target may be written, and back-off of repairs
    rollout, markers, restart_backoff  order and progress of restarts
    outdated_pods, old_pods, stuck_pods, pod_reads, pod_failures, rollout_obstacles   pods during a rollout
    rollback, revision_diff            return to an earlier revision; keys that differ between revisions
    push, leases                       push to stores; renewal and revocation of leases
    transitions, durations             what a step records; how long steps take

Imports: `core.observation` and below.
"""

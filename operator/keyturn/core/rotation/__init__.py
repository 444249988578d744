"""What happens next to a ManagedSecret: `decision.next_step(observed)` returns one step.

Scenarios: a row is an observation, and the step that follows
    state     the current revision in the state Secret; `4 of 5`: revision 4 of the newest 5
    target    the revision in the target Secret
    api, ...  the revision in the restart marker of a workload; `5!`: its rollout has failed

    scenario            state    target   api   worker   next step
    first creation      -        -        -     -        Stage
                        1        -        -     -        Publish
                        1        1        -     -        Rest
    rotation            4        4        4     4        Stage
                        5        4        4     4        Publish
                        5        5        4     4        RollOut: api
                        5        5        5     4        RollOut: worker, as soon as api is ready
                        5        5        5     5        Rest; with previous values: Overlap, Expire, Settle
    crash after Stage   5        4        4     4        Publish: the values are recorded, none is generated again
    rollback            5        5        5!    4        GoBack
                        4 of 5   5        5!    4        Publish
                        4 of 5   4        5!    4        RollOut: api
                        4 of 5   4        4     4        Stalled: held until a trigger or a change of the spec

Modules
    decision, steps                    the choice; the steps, the changes of the state Secret alone with their effect,
                                       and how long they take
    transitions                        what the other steps record; `keyturn plan` simulates with it
    triggers, emergency                why a revision is made; declared emergencies
    kept_values                        previous values that stay readable; what waits for overlaps and stores
    schedule_dates                     when a rotation is due by its schedule; spread of overdue ones
    ownership                          whether the target may be written
    publication                        when a revision was published, and back-off of repairs
    rollout                            order and progress of restarts, restart markers
    rollout_obstacles                  refused and rejected restarts, manual steps, failing and stuck pods
    old_pods                           pods with earlier values, of consumers and others; who reads changed files
    completion                         when a rollout is complete
    pod_reads                          which pods are read for that
    rollback, fallback                 return to an earlier revision; which one, and not after a complete rollout
    credentials                        what a database server must accept, and the next step towards that
    credential_slots                   recorded credentials: of the account in the spec, two open at most
    push, leases                       push to stores; renewal and revocation of leases

Imports: `core.observation` and below.
"""

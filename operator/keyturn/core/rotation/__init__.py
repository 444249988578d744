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
    schedule_dates                     when a rotation is due by its schedule; spread of overdue ones
    ownership                          whether the target may be written, and back-off of repairs
    publication                        when a revision was published and complete, and to which one a rollout returns
    rollout                            order and progress of restarts, restart markers
    rollout_obstacles                  refused and rejected restarts, manual steps, failing and stuck pods
    old_pods                           pods with earlier values, of consumers and others; who reads changed files
    completion                         when a rollout is complete, which pods are read for that, the overlap after it
    rollback                           return to an earlier revision
    credentials                        what a database server must accept, and the next step towards that
    credential_slots                   recorded credentials: of the account in the spec, two open at most
    store_steps                        pushes to stores; renewal and revocation of leases

Imports: `core.observation` and below.
"""

"""Commands of `keyturn` and `kubectl keyturn`.

`commands` declares every command with its options; what a command needs is imported when it runs, so that help and
completion answer at once.

Modules
    commands, {secret,cluster,offline}_commands, run_command  declaration of the commands
    options                                            common options
    cluster, transport, managed, manifest_files, printing   connection, lookup, input, output
    actions, status, wait, audit, check, versions, backup, plan, emergency, ui   what the commands do

Imports: every package but `stores`.
"""

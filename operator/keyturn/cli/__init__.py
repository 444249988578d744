"""Commands of `keyturn` and `kubectl keyturn`.

`commands` declares every command with its options; what a command needs is imported when it runs, so that help and
completion answer at once.

Packages: run, plan, audit, emergency, ui, check, version. Each has `command` with the click command and
modules that do the work.

Modules
    commands, options, completion, completion_names   declaration and completion
    cluster, managed, manifest_files, text, printing   connection, lookup, input, output
    actions, status, history, wait, init, render, run_with, convert, backup   one command each

Imports: every package but `databases` and `stores`.
"""

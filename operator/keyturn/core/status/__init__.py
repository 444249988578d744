"""Status of a ManagedSecret, from an observation and the outcome of the last step.

Modules
    status       `status_of(observed, outcome)`: the whole status
    credentials  credentials of a database account, and the condition CredentialValid
    conditions   Ready, Rotating, PolicyCompliant and the others, and the status after a failed observation
    summary      a condition with the time of its last transition, Ready and Stalled of an object with a health;
                 one line per secret for the command line

A condition has a reason code and a message; only these modules choose them.

Imports: `core.rotation` and below.
"""

"""Status of an EmergencyRotation: progress, deadlines, acknowledgements and timeline.

Modules
    status      `status_of`: conditions and the list of secrets
    size        messages are cut if the status is too large for etcd
    progress    progress of one secret in an emergency
    logins      database logins with exposed passwords, and when the server was proven to refuse each
    timeline    stages of an emergency: its facts, deadlines, acknowledgements, and entries of the timeline
    readers     who has read a secret, as the audit webhook reports it

What an emergency asks of one ManagedSecret is decided in `core.rotation.emergency`.

Imports: `core.status` and below.
"""

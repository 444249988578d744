"""Status of an EmergencyRotation: progress, deadlines, acknowledgements and timeline.

Modules
    status      `status_of`: rows, conditions, and what has room in etcd
    progress    progress of one secret in an emergency, and its database logins with exposed passwords
    timeline    stages of an emergency: its facts, deadlines, acknowledgements, and entries of the timeline

What an emergency asks of one ManagedSecret is decided in `core.rotation.emergency`.

Imports: `core.status` and below.
"""

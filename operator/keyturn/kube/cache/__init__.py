"""Informer cache of the watched kinds, with indexes from a changed object to the ManagedSecrets it affects.

Modules
    cache              all kinds, and what a change of each affects
    managed_secrets    ManagedSecrets: whole where they are small, and their parsing
    secrets            metadata of Secrets of ours
    workloads          workloads by the Secrets that they use, and the last read of their pods
    stores             SecretStores by their users, and Secrets filled by `dataFrom`
    targets            database targets by their users, and the accounts that these name
    emergencies        EmergencyRotations by namespace

The cache is filled by `controllers.event_handlers`; readers never change it.

Imports: `kube` and what it may import.
"""

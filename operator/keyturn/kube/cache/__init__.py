"""Informer cache of the watched kinds, with indexes from a changed object to the ManagedSecrets it affects.

Modules
    cache              all kinds, and what a change of each affects
    managed_secrets    ManagedSecrets: whole where they are small
    secrets            metadata of Secrets of ours
    workloads          workloads by the Secrets that they use
    stores             SecretStores by their users
    store_references   Secrets filled by `dataFrom`
    emergencies        EmergencyRotations by namespace
    pods               last read of a workload's pods
    parsing            parsing of an object, with its errors as sentences

The cache is filled by `controllers.event_handlers`; readers never change it.

Imports: `kube` and what it may import.
"""

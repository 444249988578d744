"""Informer cache of the watched kinds, with indexes from a changed object to the ManagedSecrets it affects.

Modules
    cache         all kinds, and what a change of each affects; metadata of Secrets of ours
    objects       parsing; ManagedSecrets; workloads by the Secrets that they use
    externals     stores and database targets by their users, and what a reference names; keys of `dataFrom`, accounts
    emergencies   EmergencyRotations by namespace

The cache is filled by `controllers.event_handlers`; readers never change it.

Imports: `kube` and what it may import.
"""

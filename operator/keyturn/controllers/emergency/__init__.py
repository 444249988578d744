"""Reconciler of EmergencyRotation, and its incident document.

Modules
    reconcile          status of an emergency
    memory             progress that secrets note, and the documents that were written
    report_configmap   ConfigMap with the incident document
    document           the document in Markdown

Imports: `controllers.context` and what controllers may import.
"""

"""Reconciler of EmergencyRotation, and its incident document.

Modules
    reconcile   progress, status, and the ConfigMap with the incident document
    document    the document in Markdown

Imports: `controllers.context` and what controllers may import.
"""

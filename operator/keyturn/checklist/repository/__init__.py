"""Findings in a Git repository: its files, its history, and what it ignores.

Modules
    source_control   the point of the checklist
    git              git as a subprocess that runs no program of the repository
    rules            what is a secret: patterns of detect-secrets, values in manifests

Imports: `core`, `offline` and `checklist.strength_estimate`.
"""

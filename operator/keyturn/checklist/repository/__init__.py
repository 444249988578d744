"""Findings in a Git repository: its files, its history, and what it ignores.

Modules
    source_control   the point of the checklist
    git, history, tree   git as a subprocess that runs no program of the repository
    rules, manifests, kept_out   what is a secret; values in manifests; ignored .env files

Imports: `core` and `checklist.strength_estimate`.
"""

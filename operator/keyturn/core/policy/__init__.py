"""Rules for secrets: those of a SecretClass, and those of the checklist.

Modules
    rules        rules of a SecretClass, and their violations
    checklist    rules of the checklist for one secret, and the verdict over all
    findings     `Verdict`, `Finding`, `Report`
    strength     floor of length and entropy

A rule returns data; `core.status.conditions` and `checklist` turn it into conditions and reports.

Imports: `core.state`, `core.spec`, and `api`.
"""

"""The checklist of eight points that `keyturn audit` goes through: one file per point.

Each point looks at a cluster or at a repository and says what it found as `Finding`s: a verdict with its evidence and
the way to mend it. No value, and nothing made of one, is ever part of a finding.
"""

"""What the checklist finds in a Git repository: its files, its history, and what it keeps out."""

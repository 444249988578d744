"""Runs the command line: `python -m keyturn`."""

from .cli.commands import main

if __name__ == "__main__":
    main()

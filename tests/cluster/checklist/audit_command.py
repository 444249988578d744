"""What `keyturn audit` says of a cluster to somebody."""

from tests.support.console import Console
from tests.support.forked_cli import run
from tests.unit.checklist.git_repository import Audit


def audited(console: Console, *options: str, everywhere: bool = False) -> Audit:
    """Run the command with somebody's kubeconfig; without options about its form the answer is JSON."""
    form = () if "-o" in options else ("-o", "json")
    place = ("-A",) if everywhere else ("-n", console.namespace) if console.namespace else ()
    done = run(["audit", *options, *form, *place], console.environment(), timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return Audit(done.returncode, done.stdout, done.stderr)

"""Infrastructure of the process: logs, metrics, threads, TLS, background tasks.

Modules
    logs, metrics                    structlog and Prometheus
    build                            version and commit
    threadpools, concurrency         blocking work per tenant, below the event loop; limits per owner
    background_tasks                 tasks that outlive a caller
    clock, jitter                    monotonic time; random parts of pauses, and endless back-off
    event_loop_stalls                calls that block the event loop
    dns, networks, reach             DNS; private and public addresses; what outgoing connections may use
    tls, rsa_parts                   TLS contexts, renewed certificate files, consistency of RSA keys
    lazy_imports, plugins            imports without optional dependencies; discovery of plugins
    memory_protection                no core dump, no ptrace
    invisible_characters             escapes of characters that a terminal does not show
    yaml_dumper                      YAML that every parser reads alike
    failpoints                       kill points for tests

Imports: `core` (its errors and its back-off).
"""

"""Infrastructure of the process: logs, metrics, threads, TLS, background tasks.

Modules
    logs, metrics                    structlog and Prometheus
    build                            version and commit
    threadpools, concurrency         blocking work per tenant; limits per owner
    background_tasks, scheduling     tasks that outlive a caller; priority of the event loop
    clock, jitter                    monotonic time; random parts of pauses, and endless back-off
    event_loop_stalls                calls that block the event loop
    dns, networks, reach             DNS; private and public addresses; what outgoing connections may use
    tls, tls_files, rsa_parts        TLS contexts, renewed certificate files, consistency of RSA keys
    lazy_imports, plugins            imports without optional dependencies; discovery of plugins
    memory_protection                no core dump, no ptrace
    invisible_characters             escapes of characters that a terminal does not show
    yaml_dumper                      YAML that every parser reads alike
    failpoints                       kill points for tests

Imports: `core` (its errors and its back-off).
"""

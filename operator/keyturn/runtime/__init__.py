"""Infrastructure of the process: logs, metrics, threads, TLS, background tasks.

Modules
    logs, metrics                    structlog and Prometheus
    build                            version and commit
    threadpools                      blocking work per tenant, below the event loop
    concurrency                      limits per owner; tasks that outlive a caller
    clock                            monotonic time; random parts of pauses, and endless back-off
    event_loop_stalls                calls that block the event loop
    reach                            what outgoing connections may use: private and public addresses, DNS
    tls                              TLS contexts, renewed certificate files, consistency of RSA keys
    imports                          discovery of plugins; imports without optional dependencies
    memory_protection                no core dump, no ptrace
    invisible_characters             escapes of characters that a terminal does not show
    dotenv_reader                    variables of a .env file
    yaml_text                        YAML that every parser reads alike
    failpoints                       kill points for tests

Imports: `core` (its errors and its back-off).
"""

"""HTTP servers of the process: metrics and probes, audit webhook.

Modules
    server                 HTTP listener with limits; /metrics, /livez, /readyz
    metrics_server         listener of metrics: http or https, with authorization
    exposition             per-object series in Prometheus text
    scrape_authorization   who may read metrics
    connection_limits      connections per port
    server_tls             certificate that is read again when its files change

Packages
    audit   audit webhook of the API server: who reads Secrets; off by default and loaded on first use

Imports: `kube`, `runtime`, `core`; never `controllers`, which hands in what a server shows.
"""

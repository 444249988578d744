"""HTTP servers of the process: metrics and probes, audit webhook, dashboard.

Modules
    server                 HTTP listener with limits; /metrics, /livez, /readyz
    metrics_server         listener of metrics: http or https, with authorization
    audit_server, dashboard_server   listeners that load their package on first use
    exposition             per-object series in Prometheus text
    scrape_authorization   who may read metrics
    connection_limits      connections per port
    server_tls             certificate that is read again when its files change

Packages
    audit       audit webhook of the API server: who reads Secrets
    dashboard   HTML pages

Audit webhook and dashboard are off by default and loaded on first use.

Imports: `kube`, `runtime`, `core`, `api`; never `controllers`, which hands in what a server shows.
"""

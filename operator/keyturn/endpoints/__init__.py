"""HTTP servers of the process: metrics and probes, audit webhook.

Modules
    server        HTTP listener with limits; /metrics, /livez, /readyz; who may read metrics
    exposition    per-object series in Prometheus text
    connections   connections per port; certificate that is read again when its files change

Packages
    audit   audit webhook of the API server: who reads Secrets; off by default and loaded on first use

Imports: `kube`, `runtime`, `core`; never `controllers`, which hands in what a server shows.
"""

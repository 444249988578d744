"""The only place that talks to the API server: how we log in, make each call, and read its answers."""

"""How fast Keyturn is on this machine, against a bare client that makes the same writes."""

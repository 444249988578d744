"""Performance measurements of Keyturn, compared with a bare client that makes the same writes."""

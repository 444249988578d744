"""Whether a cluster fits this operator: what `keyturn check` asks, and the operator itself when it starts.

One module per question. Each only reads, and what it may not read it says as unknown, never as in order.
"""

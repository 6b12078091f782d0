"""The Python client: the same protocol, seen from the other side."""

"""What carries out: connections, HTTP routes, authentication, limits and metrics."""

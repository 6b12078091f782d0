"""Where channels live: in memory, or in Redis / Valkey."""

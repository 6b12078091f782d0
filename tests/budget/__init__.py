"""What a delivery, a connection, an envelope and a publish may cost: counted, not timed."""

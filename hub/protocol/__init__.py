"""What travels, and nothing else: standard library and msgspec only."""

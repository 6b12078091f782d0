"""Runnable measurements, one JSON line each."""

"""Servers that Tapecast is measured against: each speaks enough of its protocol for load.c."""

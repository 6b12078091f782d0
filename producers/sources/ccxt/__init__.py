"""An account at any exchange that ccxt knows."""

from producers.sources.ccxt.source import CcxtSource

__all__ = ["CcxtSource"]

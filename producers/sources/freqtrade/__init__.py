"""A freqtrade bot, by its REST API and its message WebSocket."""

from producers.sources.freqtrade.source import FreqtradeSource

__all__ = ["FreqtradeSource"]

"""Posts over HTTP, signed or with a shared secret, as TradingView sends its alerts."""

from producers.sources.webhook.source import WebhookSource

__all__ = ["WebhookSource"]

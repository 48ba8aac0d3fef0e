"""Venues that are played for market data only: Bybit, BingX, Bitget, OKX, Kraken futures."""

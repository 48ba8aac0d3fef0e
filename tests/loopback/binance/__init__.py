"""Binance futures: USD-M (`fapi`) and COIN-M (`dapi`)."""

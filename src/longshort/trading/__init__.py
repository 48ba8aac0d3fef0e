"""A wish becomes orders. The only home of NautilusTrader."""

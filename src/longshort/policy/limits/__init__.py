"""What stands between a wish and an order: causes, responses, caps, the kill switch."""

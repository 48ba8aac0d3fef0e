"""The slow proofs, `make prove`: what a handful of examples cannot show is counted over many markets and every bar."""

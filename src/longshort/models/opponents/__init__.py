"""Whom a network has to beat: every forecaster that needs no network."""

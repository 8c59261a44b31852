"""Command line and HTTP services."""

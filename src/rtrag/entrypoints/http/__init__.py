"""The HTTP services."""

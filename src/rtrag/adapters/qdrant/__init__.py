"""Qdrant: point layout and the in-process Edge index."""

"""Orchestration: the ingest loop, the indexer, search, answers, resync."""

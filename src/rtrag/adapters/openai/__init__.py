"""OpenAI-compatible embeddings and answers."""

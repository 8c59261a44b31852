"""Real-Time RAG: cited answers from PostgreSQL documents, true as of the last commit."""

"""PostgreSQL: change capture, snapshots, rows and the embedded server."""

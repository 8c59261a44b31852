"""The ``rtrag`` command line."""

"""Parts for tests: fakes that keep the contracts of the real ones."""

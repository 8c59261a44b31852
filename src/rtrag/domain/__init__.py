"""The words and rules of the system: pure, standard library only."""

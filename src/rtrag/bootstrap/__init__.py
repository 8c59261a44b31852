"""The composition root: the only place where everything is joined."""

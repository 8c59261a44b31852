"""One third-party library per module, behind the ports."""

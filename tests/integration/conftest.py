"""What every test of real parts may ask for."""

from integration.stack_under_test import jars, running_stack, stack_addresses

__all__ = ["jars", "running_stack", "stack_addresses"]

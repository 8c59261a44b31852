"""What is wrong right now, in words: what makes ``/ready`` red."""


class Problems:
    """Current problems by topic, each with what to do."""

    def __init__(self) -> None:
        self._current: dict[str, str] = {}

    def set(self, topic: str, text: str) -> None:
        """There is a problem, or it changed."""
        self._current[topic] = text

    def clear(self, topic: str) -> None:
        """The problem is gone."""
        self._current.pop(topic, None)

    def all(self) -> tuple[str, ...]:
        """Every current problem."""
        return tuple(self._current.values())

"""What is wrong right now, in words: what makes ``/ready`` red."""

from collections.abc import Callable


class Problems:
    """Current problems by topic, each with what to do.

    ``tell`` hears of a topic with its text when there is a problem that was not there, and with None when it is gone.
    """

    def __init__(self, tell: Callable[[str, str | None], None] | None = None) -> None:
        self._current: dict[str, str] = {}
        self._tell = tell
        self._prefix = ""

    def set(self, topic: str, text: str) -> None:
        """There is a problem, or it changed."""
        topic = self._prefix + topic
        new = topic not in self._current
        self._current[topic] = text
        if new and self._tell is not None:
            self._tell(topic, text)

    def clear(self, topic: str) -> None:
        """The problem is gone."""
        topic = self._prefix + topic
        if self._current.pop(topic, None) is not None and self._tell is not None:
            self._tell(topic, None)

    def of(self, part: str) -> "Problems":
        """For a part that sets and clears topics of its own under the same names; ``all`` shows those of every part."""
        view = Problems(self._tell)
        view._current, view._prefix = self._current, f"{part}: "
        return view

    def all(self) -> tuple[str, ...]:
        """Every current problem."""
        return tuple(self._current.values())

"""Whether the watches tell what is there: what a list shows must have been heard.

An operator can be deaf with a green health check: its watch stands, and nothing comes. On
an idle cluster nothing is to be heard, so silence proves nothing; but what a list shows and
no event told, even after a while, does.
"""

from collections.abc import Callable, Iterable

Key = tuple[str, str]
"""(kind, name)."""


class Hearing:
    """Compares what was heard with what was listed. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Args:
        clock: monotonic seconds.
        """
        self._clock = clock
        self._heard: dict[Key, str] = {}
        self._unheard: dict[Key, float] = {}

    def hear(self, kind: str, name: str, version: str, *, deleted: bool) -> None:
        """An event: the object has this version now, or is gone."""
        self._unheard.pop((kind, name), None)
        if deleted:
            self._heard.pop((kind, name), None)
        else:
            self._heard[kind, name] = version

    def compare(self, kind: str, listed: Iterable[tuple[str, str]]) -> None:
        """A list: (name, version) of all objects of a kind.

        An event may be on its way, and is then heard soon. What is gone is not waited for.
        """
        versions = {(kind, name): version for name, version in listed}
        for key in [key for key in self._unheard if key[0] == kind and key not in versions]:
            del self._unheard[key]
        for key in [key for key in self._heard if key[0] == kind and key not in versions]:
            del self._heard[key]
        for key, version in versions.items():
            if self._heard.get(key) != version:
                self._unheard.setdefault(key, self._clock())
            else:
                # The list before may have been older than what was heard meanwhile.
                self._unheard.pop(key, None)

    @property
    def doubtful(self) -> bool:
        """Whether the watches owe us an event."""
        return bool(self._unheard)

    @property
    def behind_s(self) -> float:
        """For how long the watches have owed us an event, seconds; 0 when they owe none."""
        return self._clock() - min(self._unheard.values()) if self._unheard else 0.0

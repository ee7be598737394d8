"""What is known of a kind of job without what it takes to run it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


def _anything(_parameters: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTraits:
    """A kind of job. Each has a queue of its own, so that no kind holds up another."""

    name: str
    title: str  #: what it does, for people: a sentence without its full stop
    #: The default parameters, which are all that a run may be given; each value is of its default's type.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: What whoever starts or schedules a run must be allowed, beside starting jobs; empty: nothing more.
    right: str = ""
    #: And what each of these parameters needs, where it is set.
    rights_of: Mapping[str, str] = field(default_factory=dict)
    #: Raises ValueError when complete parameters cannot be.
    check: Callable[[Mapping[str, Any]], None] = _anything
    #: What its runs are about, as a regular expression (`project:[0-9]+`); empty: nothing in particular.
    subjects: str = ""
    #: Raise it when a run that was begun cannot be gone on with by the new code: its steps are then done anew.
    version: int = 1
    #: Runs of different subjects that one worker does at the same time.
    parallel: int = 1
    #: How often a run is begun before it has failed; a worker's orderly end does not count.
    attempts: int = 3
    #: Seconds until the second attempt, doubled for each after it, up to `longest_pause`, all of it with jitter.
    pause: float = 10.0
    longest_pause: float = 10 * MINUTE
    #: Seconds that a run may give no sign of life (a step, a line) before it is ended.
    patience: float = HOUR
    #: Ended runs that are kept, and for how many seconds.
    kept: int = 100
    kept_for: float = 90 * DAY
    #: When it runs unless a person decides otherwise: a cron line or `@every 1h`; empty for only when asked.
    schedule: str = ""

    def takes_subject(self, subject: str) -> bool:
        """Tell whether a run may be about something."""
        return re.fullmatch(self.subjects, subject) is not None

    def rights_for(self, given: Mapping[str, Any]) -> list[str]:
        """Return the permissions that parameters need, beside the kind's own."""
        return sorted({right for name, right in self.rights_of.items() if given.get(name)})

    def read_parameters(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters of a run, complete.

        Raises:
            ValueError: One is not known, of another type than its default, or not as `check` wants it.
        """
        for name, value in given.items():
            if name not in self.parameters:
                known = ", ".join(sorted(self.parameters)) or "none"
                raise ValueError(f"{self.name} has no parameter {name[:50]!a}; there are: {known}")
            if type(value) is not type(self.parameters[name]):
                wanted = type(self.parameters[name]).__name__
                raise ValueError(f"{self.name}: the parameter {name} must be of type {wanted}")
        complete = {**self.parameters, **given}
        self.check(complete)
        return complete

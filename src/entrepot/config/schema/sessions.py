"""`access.sessions`: how long a browser stays signed in."""

from pydantic import Field

from entrepot.config.section import Section
from entrepot.config.values import Duration, Flag


class Sessions(Section):
    """Browsers that are signed in."""

    idle: Duration = Field(default=3600.0, ge=60)
    """A session ends when it was not used for so long, at least 60s."""
    absolute: Duration = Field(default=12 * 3600.0, ge=60)
    """A session ends so long after the sign-in, whatever happens, at least 60s."""
    plainhttp: Flag = False
    """Lets browsers of other hosts sign in over http, where everybody on the way can read the session's cookie."""

"""`outbound`: how this registry asks others: sign-in providers, key sets, services that it tells about events."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from entrepot.config.hosts import check_proxy, read_host
from entrepot.config.section import Section
from entrepot.config.values import Text, Url, refuse


def _checked(check: Callable[[str], object]) -> AfterValidator:
    def validate(text: str) -> str:
        try:
            check(text)
        except ValueError as error:
            raise refuse(str(error)) from None
        return text

    return AfterValidator(validate)


Host = Annotated[Text, _checked(read_host)]
ProxyUrl = Annotated[Url, _checked(check_proxy)]


class Outbound(Section):
    """How this registry asks others: sign-in providers, key sets, and what is to come (our own section)."""

    allow: tuple[Host, ...] = ()
    """Host names, addresses and networks of your own, such as `keycloak.intranet` or `10.1.0.0/16`. Only these may be
    in private networks or be asked without TLS; they are asked directly, not through the proxy. The addresses at which
    clouds hand out credentials must be listed as addresses: a name never leads there."""
    proxy: ProxyUrl = ""
    """URL of an HTTP proxy that reaches everybody else."""
    cabundle: Text = ""
    """PEM file of authorities to believe beside the system's."""

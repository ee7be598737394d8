"""cosign, logged in to a registry."""

from __future__ import annotations

from pathlib import Path

from tests.support.places import Place
from tests.support.terminal import Terminal

#: How a signature is kept: under a tag made of the digest, or as a referrer.
MODES = {"tag": (), "referrer": ("--registry-referrers-mode=oci-1-1",)}


class Cosign:
    """cosign, logged in to one registry, without any service on the internet."""

    def __init__(self, terminal: Terminal, place: Place) -> None:
        self.terminal = terminal
        self._plain = ("--allow-http-registry",) if place.plain else ()
        if place.login:
            name, password = place.login
            terminal.run("cosign", "login", place.address, "--username", name, "--password-stdin", given=password)

    def sign(self, key: Path, image: str, *mode: str) -> None:
        """Sign an image."""
        words = ("--yes", "--tlog-upload=false", "--key", key, *self._plain, *mode)
        self._signer().run("cosign", "sign", *words, image)

    def verify(self, key: Path, image: str, *mode: str) -> str:
        """Verify a signature."""
        return self._signer().run("cosign", "verify", *self._words(key, mode), image)

    def verify_refused(self, key: Path, image: str, *mode: str) -> str:
        """Fail to verify, and give what it said."""
        return self._signer().refused("cosign", "verify", *self._words(key, mode), image)

    def _words(self, key: Path, mode: tuple[str, ...]) -> tuple[str | Path, ...]:
        how = tuple(word.replace("--registry-referrers-mode=oci-1-1", "--experimental-oci11") for word in mode)
        return ("--insecure-ignore-tlog", "--key", key, *self._plain, *how)

    def _signer(self) -> Terminal:
        more = self.terminal.more | {"COSIGN_PASSWORD": "", "COSIGN_EXPERIMENTAL": "1"}
        return Terminal(home=self.terminal.home, network=self.terminal.network, more=more)

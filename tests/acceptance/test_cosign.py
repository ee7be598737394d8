"""cosign signs what lies with us and verifies it, in both of the ways in which it keeps a signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.layout import digest_in
from tests.support.network import Network
from tests.support.places import REFUSAL, Place
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal, open_terminal

#: How a signature is kept: under a tag made of the digest, or as a referrer.
MODES = {"tag": (), "referrer": ("--registry-referrers-mode=oci-1-1",)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    """Give a folder with two pairs of keys."""
    folder = tmp_path_factory.mktemp("keys")
    terminal = open_terminal(folder / "home", network, {"COSIGN_PASSWORD": ""})
    for name in ("right", "wrong"):
        terminal.run("cosign", "generate-key-pair", "--output-key-prefix", folder / name)
    return folder


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


@pytest.mark.parametrize("mode", MODES)
def test_a_signature_is_kept_and_found(terminal: Terminal, place: Place, busybox: Path, keys: Path, mode: str) -> None:
    """A signed image is verified with the right key and refused with another, and an unsigned one is refused."""
    skopeo = Skopeo(terminal, place)
    skopeo.login()
    skopeo.to_registry(busybox, f"cosign/{mode}:1")
    image = f"{place.address}/cosign/{mode}@{digest_in(busybox)}"
    cosign = Cosign(terminal, place)
    assert "no signatures found" in cosign.verify_refused(keys / "right.pub", image, *MODES[mode])
    cosign.sign(keys / "right.key", image, *MODES[mode])
    assert digest_in(busybox) in cosign.verify(keys / "right.pub", image, *MODES[mode])
    said = cosign.verify_refused(keys / "wrong.pub", image, *MODES[mode])
    assert "invalid signature" in said or "no signatures found" in said
    signed = f"{digest_in(busybox).replace(':', '-')}.sig"
    tags = skopeo.about("list-tags", f"cosign/{mode}")
    assert (signed in tags) == (mode == "tag")


def test_nobody_signs_without_a_login(terminal: Terminal, login_place: Place, busybox: Path, keys: Path) -> None:
    """A signature is a push, which needs a login."""
    skopeo = Skopeo(terminal, login_place)
    skopeo.login()
    skopeo.to_registry(busybox, "cosign/guarded:1")
    stranger = open_terminal(
        terminal.home.parent / "stranger", terminal.network, terminal.more | {"COSIGN_PASSWORD": ""}
    )
    words = ("--yes", "--tlog-upload=false", "--key", keys / "right.key", "--allow-http-registry")
    image = f"{login_place.address}/cosign/guarded@{digest_in(busybox)}"
    assert REFUSAL.search(stranger.refused("cosign", "sign", *words, image))

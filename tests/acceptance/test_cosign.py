"""cosign signs what lies with us and verifies it, in both of the ways in which it keeps a signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cosign import MODES, Cosign
from tests.support.layout import digest_in
from tests.support.places import REFUSAL, Place
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal, open_terminal


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

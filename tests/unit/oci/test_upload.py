"""An upload session's life is its table."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci import upload
from entrepot.oci.errors import BlobUploadInvalid, BlobUploadUnknown
from entrepot.oci.upload import TRANSITIONS, UploadEvent, UploadState, advance


def drawn_table() -> dict[UploadState, dict[UploadEvent, UploadState]]:
    """Read the table that the module's docstring draws."""
    rows = [line.split() for line in (upload.__doc__ or "").splitlines() if re.match(r"    \w", line)]
    events = [UploadEvent(name) for name in rows[0][1:]]
    return {
        UploadState(row[0]): {
            event: UploadState(cell) for event, cell in zip(events, row[1:], strict=True) if cell != "-"
        }
        for row in rows[1:]
    }


def test_the_drawn_table_is_the_real_one() -> None:
    """What the docstring draws is what the code does."""
    assert drawn_table() == TRANSITIONS


@pytest.mark.parametrize(("state", "event"), list(itertools.product(UploadState, UploadEvent)))
def test_every_cell(state: UploadState, event: UploadEvent) -> None:
    """An open session follows the table; an ended one refuses, and says whether its blob exists."""
    if state is UploadState.OPEN:
        assert advance(state, event) is TRANSITIONS[state][event]
    else:
        refusal = BlobUploadInvalid if state is UploadState.COMPLETED else BlobUploadUnknown
        with pytest.raises(refusal, match="start a new one"):
            advance(state, event)


@given(st.lists(st.sampled_from(UploadEvent), max_size=20))
def test_an_ended_session_never_lives_again(events: list[UploadEvent]) -> None:
    """Whatever happens after the first ending event changes nothing."""
    state = UploadState.OPEN
    for event in events:
        try:
            state = advance(state, event)
        except (BlobUploadInvalid, BlobUploadUnknown):
            assert state is not UploadState.OPEN
    ending = next((event for event in events if event is not UploadEvent.APPEND), None)
    assert state is (UploadState.OPEN if ending is None else TRANSITIONS[UploadState.OPEN][ending])

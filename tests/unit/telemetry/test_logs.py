"""The log's three forms, as registry:2 writes them."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from entrepot.telemetry import logs
from entrepot.telemetry.logs import LogSettings, render_json, render_logstash, render_text

AT = "2026-11-23T23:02:31.051726Z"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; what pytest had set up comes back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("entrepot")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield io.StringIO()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def test_text_quotes_what_is_not_bare() -> None:
    """Values of letters, digits and a few signs stand bare, all others in quotes; names are in order."""
    fields = {"service": "registry", "go.version": "go1.24.4", "http.request.host": "localhost:5077", "n": 2}
    assert render_text(AT, "info", "response completed", fields) == (
        f'time="{AT}" level=info msg="response completed" go.version=go1.24.4 '
        'http.request.host="localhost:5077" n=2 service=registry'
    )


def test_text_keeps_a_record_on_one_line() -> None:
    """Line ends and quotes of a value cannot begin another record."""
    line = render_text(AT, "error", "x", {"error": 'a\nlevel=info "b"'})
    assert "\n" not in line
    assert line.endswith(r'error="a\nlevel=info \"b\""')


def test_json_has_the_names_of_logrus() -> None:
    """json uses time, level and msg."""
    assert json.loads(render_json(AT, "warning", "m", {"a": 1})) == {"time": AT, "level": "warning", "msg": "m", "a": 1}


def test_logstash_has_the_names_of_logstash() -> None:
    """Logstash gets @timestamp, @version and message."""
    expected = {"@timestamp": AT, "@version": "1", "level": "info", "message": "m"}
    assert json.loads(render_logstash(AT, "info", "m", {})) == expected


def test_fields_of_the_configuration_and_of_the_record_are_in_each_line(stream: io.StringIO) -> None:
    """log.fields are on every record, and what the record says itself outweighs them."""
    logs.configure(LogSettings(formatter="json", fields={"environment": "staging", "service": "a"}), stream)
    logging.getLogger("entrepot.test").warning("hello %s", "you", extra={"service": "b"})
    entry = json.loads(stream.getvalue())
    assert (entry["msg"], entry["level"], entry["environment"], entry["service"]) == (
        "hello you",
        "warning",
        "staging",
        "b",
    )


def test_the_request_at_hand_is_named(stream: io.StringIO) -> None:
    """Records made while a request is answered carry its id."""
    logs.configure(LogSettings(formatter="json"), stream)
    token = logs.request_id.set("abc-1")
    logging.getLogger("entrepot.test").error("x")
    logs.request_id.reset(token)
    assert json.loads(stream.getvalue())["http.request.id"] == "abc-1"


@pytest.mark.parametrize(("level", "heard"), [("debug", "dwe"), ("info", "we"), ("error", "e")])
def test_the_level_decides_what_is_heard(stream: io.StringIO, level: str, heard: str) -> None:
    """log.level keeps less serious records away; libraries are heard from warnings on."""
    logs.configure(LogSettings(level=level, formatter="json"), stream)
    ours, library = logging.getLogger("entrepot.test"), logging.getLogger("some.library")
    ours.debug("d")
    ours.warning("w")
    ours.error("e")
    library.info("library")
    assert "".join(json.loads(line)["msg"] for line in stream.getvalue().splitlines()) == heard


def test_an_exception_is_a_field(stream: io.StringIO) -> None:
    """A traceback stands in one field of one line."""
    logs.configure(LogSettings(formatter="json"), stream)
    try:
        int("broken")
    except ValueError:
        logging.getLogger("entrepot.test").exception("failed")
    assert "ValueError: invalid literal" in json.loads(stream.getvalue())["error"]


def test_the_place_in_the_source_is_told_when_asked_for(stream: io.StringIO) -> None:
    """log.reportcaller adds logrus's `file` and `func`, and without it they are not there."""
    logs.configure(LogSettings(formatter="json", report_caller=True), stream)
    logging.getLogger("entrepot.test").warning("x")
    entry = json.loads(stream.getvalue())
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+", entry["file"])
    assert entry["func"] == "entrepot.test.test_the_place_in_the_source_is_told_when_asked_for"
    logs.configure(LogSettings(formatter="json"), stream)
    logging.getLogger("entrepot.test").warning("y")
    assert not {"file", "func"} & set(json.loads(stream.getvalue().splitlines()[-1]))

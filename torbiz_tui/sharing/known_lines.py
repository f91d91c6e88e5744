"""A line of the server's log, with what is known of the trouble that it shows."""

from __future__ import annotations

from dataclasses import replace

from torbiz_tui.sharing.stages import EVENTS_KEPT, advance, parse_line
from torbiz_tui.sharing.state import SharingEvent, SharingState
from torbiz_tui.troubleshooting.symptom import Place


def take_line(state: SharingState, line: str, before: str = "") -> SharingState:
    """The state after one more line; what is known of it is said at the event that it makes.

    `before` is the last line that has a time: one of a traceback was written then.
    A line of a known problem is an event also where it is nothing else, once for each in a row.
    """
    from torbiz_tui.troubleshooting.recognising import recognise_line

    after = advance(state, line, before)
    if after.served is not state.served:
        return after
    known = recognise_line(line, Place.SERVER, in_container=state.container is not None)
    if known is None:
        return after
    if after.events is not state.events:
        event = replace(after.events[-1], known=known)
        event = replace(event, warning=event.warning or event.problem is not None)
        return replace(after, events=(*after.events[:-1], event))
    parsed = parse_line(line, before)
    # Of a traceback the source code says nothing to a person.
    text = known.title if line[:1].isspace() else parsed.message
    event = SharingEvent(parsed.at, text, warning=True, known=known)
    last = state.events[-1].known if state.events else None
    if event.problem is None or (last is not None and last.symptom is known.symptom):
        return after
    return replace(after, events=(*after.events, event)[-EVENTS_KEPT:])

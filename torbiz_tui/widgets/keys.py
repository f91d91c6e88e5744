"""All keys of the app in one place: bindings, help, `docs/keys.md` and remapping read from here."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding


def _key(
    binding_id: str, keys: str, action: str, label: str, tooltip: str, *, show: bool = False
) -> Binding:
    return Binding(keys, action, label, show=show, tooltip=tooltip, id=binding_id)


APP = [
    _key("go.setup", "f1,1", "go('setup')", "Setup", "Go to Setup"),
    _key("go.share", "f2,2", "go('share')", "Share", "Go to Share"),
    _key("go.ask", "f3,3", "go('ask')", "Ask", "Go to Ask"),
    _key("go.logs", "f4,4", "go('logs')", "Logs", "Go to Logs"),
    Binding(
        "f10,question_mark",
        "help",
        "Help",
        show=True,
        key_display="F10",
        tooltip="What this screen is for, and its keys",
        id="help",
    ),
    Binding(
        "ctrl+q",
        "quit",
        "Leave",
        show=False,
        priority=True,
        tooltip="Leave the app; a hosted server goes on",
        id="leave",
    ),
]

MESSAGE = [_key("message.close", "escape", "dismiss_notice", "Close", "Close the message")]

STEPS = [
    _key("setup.run", "enter", "select", "Set up", "Bring everything that is missing", show=True),
    _key("list.down", "down,j", "cursor_down", "Down", "Next step"),
    _key("list.up", "up,k", "cursor_up", "Up", "Previous step"),
    _key("list.first", "home,g", "first", "First", "First step"),
    _key("list.last", "end,G", "last", "Last", "Last step"),
]

SETUP = [
    _key("setup.retry", "r", "retry", "Retry", "Try the selected step again", show=True),
    _key("setup.cancel", "c", "cancel", "Cancel", "Stop the selected step", show=True),
    _key("setup.skip", "s", "skip", "Skip", "Go on without the selected step", show=True),
    _key("setup.check", "a", "check", "Check", "Check all steps; change nothing", show=True),
    _key("setup.docker", "d", "docker", "Docker", "Containers, images and clean-up", show=True),
    _key(
        "setup.explain", "f5", "explain", "Explain", "What is wrong, and what mends it", show=True
    ),
]

DOCKER = [
    _key("docker.logs", "l", "panel('logs')", "Log", "Follow the container's log"),
    _key("docker.stop", "x", "panel('stop')", "Stop", "Stop the container gracefully"),
    _key("docker.unpause", "u", "panel('unpause')", "Unpause", "Let a paused container go on"),
    _key("docker.shell", "e", "panel('shell')", "Shell", "Open a shell in the container"),
    _key("docker.rebuild", "b", "panel('build')", "Rebuild", "Build the image anew"),
    _key("docker.remove", "delete", "panel('remove_image')", "Remove", "Remove the image"),
    _key("docker.clean", "c", "panel('clean')", "Clean up", "Free what only this program uses"),
    _key("docker.refresh", "r", "refresh_panel", "Look again", "Ask the engine again", show=True),
    _key("docker.close", "escape,q", "close_panel", "Close", "Back to Setup", show=True),
]

SHARE = [
    Binding(
        "ctrl+s",
        "start",
        "Start sharing",
        tooltip="Start sharing with what the form says",
        id="share.start",
    ),
    _key("share.model", "ctrl+t", "choose_model", "Model", "Choose the model to share", show=True),
    _key("share.more", "ctrl+o", "more", "More", "Show or hide the rarer settings", show=True),
    _key("share.edit", "e", "edit", "Settings", "Change the settings, then restart", show=True),
    _key("share.stop", "x", "stop", "Stop sharing", "Stop the hosted server", show=True),
    _key("share.copy", "y", "copy_invite", "Copy invite", "Copy the invite code", show=True),
    _key("share.retry", "r", "retry", "Retry", "Start again as before", show=True),
    _key("share.logs", "l", "show_logs", "Log", "Show the server's log", show=True),
    _key("share.command", "k", "show_command", "Command", "Show the command behind it", show=True),
    _key("share.swarm", "m,f9", "show_swarm", "Map", "Block by block, who serves it", show=True),
    _key(
        "share.explain", "f5", "explain", "Explain", "What is wrong, and what mends it", show=True
    ),
]

SWARM = [
    _key("swarm.look", "r", "look", "Look again", "Start the monitor anew", show=True),
    _key("swarm.find", "slash", "find", "Find", "Find servers, or who has a block", show=True),
    _key("swarm.close", "escape,q,f9", "close_map", "Close", "Close the map", show=True),
]

SWARM_READING = [
    _key("swarm.down", "down,j", "line(1)", "Down", "One row down"),
    _key("swarm.up", "up,k", "line(-1)", "Up", "One row up"),
    _key("swarm.page_down", "pagedown,space,ctrl+d", "page(1)", "Page down", "One page down"),
    _key("swarm.page_up", "pageup,b,ctrl+u", "page(-1)", "Page up", "One page up"),
    _key("swarm.top", "g,home", "top", "Top", "To the picture"),
    _key("swarm.table", "t", "table", "Table", "To the table of servers"),
    _key("swarm.order", "s", "order", "Sort", "Sort the table by something else"),
    _key("swarm.end", "G,end", "end", "End", "To the last server"),
]

ASK = [
    _key("ask.stop", "escape", "stop", "Stop", "Stop the answer, close what is open, or go back"),
    _key("ask.new", "ctrl+n", "new_conversation", "New", "Start a new conversation", show=True),
    _key(
        "ask.list",
        "ctrl+l",
        "conversations",
        "List",
        "Go to the conversations, or hide them",
        show=True,
    ),
    _key("ask.find", "ctrl+f", "find", "Find", "Search in all conversations"),
    _key("ask.model", "ctrl+t", "model", "Model", "Choose the model that answers", show=True),
    _key(
        "ask.options", "ctrl+o", "options", "Options", "Go to the options, or hide them", show=True
    ),
    _key("ask.again", "ctrl+r", "again", "Again", "Answer the question again", show=True),
    _key("ask.select", "ctrl+g,ctrl+up", "select", "Messages", "Select a message"),
    _key("ask.swarm", "f9", "show_swarm", "Map", "Block by block, who serves the model"),
    _key("ask.share", "ctrl+s", "share_missing", "Share", "Share the blocks that nobody serves"),
    _key("ask.explain", "f5", "explain", "Explain", "What is wrong, and what mends it", show=True),
    Binding(
        "ctrl+y",
        "copy",
        "Copy",
        show=False,
        priority=True,  # the text field has a meaning of its own for it
        tooltip="Copy the selected message, or the last answer",
        id="ask.copy",
    ),
]

QUESTION = [
    _key("question.send", "enter", "send", "Send", "Send the question", show=True),
    Binding(
        "ctrl+j,shift+enter,alt+enter",
        "newline",
        "New line",
        show=False,  # the empty field says it
        key_display="^j",
        tooltip="Begin a new line",
        id="question.newline",
    ),
    _key("question.earlier", "up", "recall", "Earlier", "On the first row: the question before"),
    _key("question.later", "down", "recall_back", "Later", "On the last row: the question after"),
    # The conversation is what there is to read, not the field.
    _key("ask.page_up", "pageup", "screen.page_up", "Back", "Scroll the conversation up"),
    _key("ask.page_down", "pagedown", "screen.page_down", "On", "Scroll the conversation down"),
]

MESSAGES = [
    _key("message.copy", "y", "copy", "Copy", "Copy the message as it was written", show=True),
    _key(
        "message.code",
        "c",
        "copy_code",
        "Copy code",
        "Copy its code block, then the next",
        show=True,
    ),
    _key("message.again", "r", "again", "Again", "Answer it again", show=True),
    _key("message.edit", "e", "edit", "Edit", "Change the question and ask anew", show=True),
    _key(
        "message.branch_back",
        "left_square_bracket,left",
        "branch(-1)",
        "Version",
        "The version before",
    ),
    _key(
        "message.branch", "right_square_bracket,right", "branch(1)", "Version", "The version after"
    ),
    _key("message.export", "x", "export", "Export", "Write the conversation to a file"),
]

CONVERSATIONS = [
    _key("conversations.open", "enter", "select", "Open", "Go on with the conversation", show=True),
    _key("conversations.find", "slash", "find", "Find", "Search in titles and messages", show=True),
    _key("conversations.rename", "r", "rename", "Rename", "Give it another title", show=True),
    _key(
        "conversations.delete",
        "d,delete",
        "delete",
        "Delete",
        "Delete it; u brings it back",
        show=True,
    ),
    _key(
        "conversations.restore",
        "u,ctrl+z",
        "restore",
        "Undo",
        "Bring back what was deleted",
        show=True,
    ),
    _key("conversations.down", "down,j", "cursor_down", "Down", "Next conversation"),
    _key("conversations.up", "up,k", "cursor_up", "Up", "Previous conversation"),
]

TRANSCRIPT = [
    _key("transcript.down", "down,j", "down", "Down", "One line down"),
    _key("transcript.up", "up,k", "up", "Up", "One line up"),
    _key("transcript.page_down", "pagedown,space,ctrl+d", "page(1)", "Page down", "One page down"),
    _key("transcript.page_up", "pageup,b,ctrl+u", "page(-1)", "Page up", "One page up"),
    _key("transcript.top", "g,home", "top", "Top", "To the first message"),
    _key("transcript.end", "G,end", "end", "End", "To the end, and follow"),
    _key("transcript.previous", "K,ctrl+up", "select(-1)", "Previous", "Select the message before"),
    _key("transcript.next", "J,ctrl+down", "select(1)", "Next", "Select the message after"),
]

LOGS = [
    _key("logs.previous", "left_square_bracket,left", "source(-1)", "Source", "Previous source"),
    Binding(
        "right_square_bracket,right",
        "source(1)",
        "Source",
        key_display="←→",
        tooltip="Next source; after the last all",
        id="logs.next",
    ),
    _key("logs.search", "slash", "search", "Search", "Search in this log", show=True),
    _key("logs.match", "n", "match(-1)", "Next match", "Next match, upwards"),
    _key("logs.match_back", "N", "match(1)", "Previous match", "Previous match, downwards"),
    _key("logs.filter", "f", "filter", "Filter", "Show only lines that fit", show=True),
    _key("logs.filter_off", "F", "toggle_filter", "All lines", "Show all lines, or filter again"),
    _key(
        "logs.error", "e", "error(1)", "Error", "The next error; from the end the first", show=True
    ),
    _key("logs.error_back", "E", "error(-1)", "Error", "The error before; from the top the last"),
    _key("logs.time", "t", "time", "Time", "Go to a moment"),
    _key("logs.merge", "M", "merge", "Merge", "Choose logs to read as one, by time"),
    _key("logs.split", "s", "split", "Split", "Two panes, or one", show=True),
    _key("logs.other", "tab,shift+tab", "other_pane", "Other pane", "To the other pane"),
    _key("logs.export", "x", "export", "Export", "Write what is shown to a file"),
    _key("logs.close_search", "escape", "close_search", "Close", "Stop looking, end the search"),
]

LOG_FIELDS = [
    _key(
        "logs.field_close",
        "escape",
        "leave",
        "Close",
        "Leave the field; nothing is changed",
        show=True,
    ),
    _key("logs.field_earlier", "up", "recall(-1)", "Earlier", "What was typed before"),
    _key("logs.field_later", "down", "recall(1)", "Later", "What was typed after that"),
    _key(
        "logs.regex",
        "ctrl+r",
        "regex",
        "Regex",
        "Search: as a text, or a regular expression",
        show=True,
    ),
]

PANE = [
    _key("pane.down", "down,j", "down", "Down", "One line down"),
    _key("pane.up", "up,k", "up", "Up", "One line up"),
    _key("pane.page_down", "pagedown,space,ctrl+d", "page(1)", "Page down", "One page down"),
    _key("pane.page_up", "pageup,b,ctrl+u", "page(-1)", "Page up", "One page up"),
    _key("pane.top", "g,home", "top", "Top", "To the first line"),
    Binding("G,end", "end", "End", show=False, tooltip="To the end, and follow", id="pane.end"),
    _key("pane.sideways", "l,shift+right", "sideways(1)", "Right", "Scroll right (wrapping off)"),
    _key("pane.back", "h,shift+left", "sideways(-1)", "Left", "Scroll left (wrapping off)"),
    _key("pane.wrap", "w", "wrap", "Wrap", "Break long lines, or not", show=True),
    _key("pane.clear", "c", "clear", "Clear", "Clear the view; the file stays", show=True),
    _key("pane.unclear", "C", "unclear", "Show all", "Show again what was cleared"),
    _key("pane.previous", "K,ctrl+up", "current(-1)", "Line", "Choose the line before"),
    _key("pane.next", "J,ctrl+down", "current(1)", "Line", "Choose the next line"),
    _key("pane.explain", "enter", "explain", "Explain", "What the chosen line means"),
    _key("pane.mark", "m", "mark", "Mark", "Mark the chosen line, or no longer"),
    _key("pane.next_mark", "u", "next_mark(1)", "Mark", "The next marked line"),
    _key("pane.previous_mark", "U", "next_mark(-1)", "Mark", "The marked line before"),
    _key("pane.select", "v", "select", "Select", "Select lines from here, or end it"),
    _key("pane.deselect", "escape", "deselect", "Close", "End the selection"),
    _key("pane.copy", "y", "copy", "Copy", "Copy the chosen lines as they stand in the log"),
]

GROUPS: dict[str, list[Binding]] = {
    "Everywhere": APP + MESSAGE,
    "Setup": STEPS + SETUP,
    "Docker panel": DOCKER,
    "Share": SHARE,
    "Swarm map": SWARM + SWARM_READING,
    "Ask": QUESTION + ASK,
    "Ask: messages": MESSAGES,
    "Ask: conversations": CONVERSATIONS,
    "Ask: reading": TRANSCRIPT,
    "Logs": LOGS,
    "Logs: reading": PANE,
    "Logs: fields": LOG_FIELDS,
}


def known_ids() -> set[str]:
    """The ids that `interface.keys` of the configuration may remap."""
    return {binding.id for group in GROUPS.values() for binding in group if binding.id}


def shown_keys(binding: Binding, keymap: dict[str, str], at_most: int = 9) -> str:
    """The keys of a binding for people: `F1, 1`; `keymap` has what the person has changed."""
    keys = keymap.get(binding.id or "", binding.key)
    return ", ".join([_shown(key.strip()) for key in keys.split(",") if key.strip()][:at_most])


_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "pageup": "PageUp",
    "pagedown": "PageDown",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


def _shown(key: str) -> str:
    if key in _NAMES:
        return _NAMES[key]
    *modifiers, last = key.split("+")
    name = _NAMES.get(last, last)
    if modifiers:
        name = name.upper() if len(name) == 1 else name.capitalize()
        return "+".join([*(modifier.capitalize() for modifier in modifiers), name])
    return name if len(name) == 1 else name.capitalize()


def rows(
    bindings: Iterable[Binding], keymap: dict[str, str], at_most: int = 9
) -> list[tuple[str, str, str]]:
    """Keys, what they do, and the id, for help and documentation."""
    return [
        (
            shown_keys(binding, keymap, at_most),
            binding.tooltip or binding.description,
            binding.id or "",
        )
        for binding in bindings
    ]

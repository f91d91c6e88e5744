"""The sessions of conversations: a few are kept, the one not used for longest goes first."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from dataclasses import dataclass, field

from held_tokens import HeldText
from swarm_session import SwarmSession

POOL_SIZE = 2
CLOSE_WAIT_S = 0.5


@dataclass
class Conversation:
    """A conversation's session and what it holds; None until the first question."""

    name: str
    session: SwarmSession | None = None
    held: HeldText = field(default_factory=HeldText)
    used_at: float = field(default_factory=time.monotonic)
    stopped: bool = False  # its last answer was stopped: it may not go on
    busy: bool = False
    unwanted: bool = False


class SessionPool:
    """Sessions by conversation. An idle session takes memory at its servers, so few are kept."""

    def __init__(self, size: int = POOL_SIZE) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._conversations: dict[str, Conversation] = {}

    def take(self, name: str) -> Conversation:
        """Return the conversation for an answer; `give_back` follows."""
        with self._lock:
            conversation = self._conversations.setdefault(name, Conversation(name))
            conversation.busy, conversation.unwanted = True, False
            idle = [one for one in self._conversations.values() if not one.busy]
            idle.sort(key=lambda one: one.used_at)
            excess = idle[: max(0, len(self._conversations) - self._size)]
        self._close(excess)
        return conversation

    def give_back(self, conversation: Conversation, *, stopped: bool = False) -> None:
        """Keep the session for the next question, unless it was released meanwhile."""
        with self._lock:
            conversation.busy, conversation.stopped = False, stopped
            conversation.used_at = time.monotonic()
            unwanted = conversation.unwanted or conversation.session is None
        if unwanted:
            self._close([conversation], wait_s=0)

    def release(self, name: str) -> None:
        """Close a conversation's session, now or when its answer is complete."""
        with self._lock:
            conversation = self._conversations.get(name)
            if conversation is None:
                return
            conversation.unwanted = True
            if conversation.busy:
                return
        self._close([conversation], wait_s=0)

    def close_idle(self, older_than_s: float, *, stopped_only: bool = False) -> bool:
        """Close the sessions without a question for that long; return whether there were any."""
        limit = time.monotonic() - older_than_s
        with self._lock:
            idle = [
                one
                for one in self._conversations.values()
                if not one.busy and one.used_at <= limit and (one.stopped or not stopped_only)
            ]
        self._close(idle)
        return bool(idle)

    @property
    def has_session(self) -> bool:
        """Whether servers hold a cache for us."""
        with self._lock:
            return any(one.session is not None for one in self._conversations.values())

    def close(self) -> None:
        """Close all sessions."""
        with self._lock:
            conversations = list(self._conversations.values())
        self._close(conversations, wait_s=1)

    def _close(self, conversations: list[Conversation], wait_s: float = CLOSE_WAIT_S) -> None:
        closing = []
        with self._lock:
            for conversation in conversations:
                self._conversations.pop(conversation.name, None)
                session, conversation.session = conversation.session, None
                conversation.held = HeldText()
                if session is not None:
                    closing.append(session.close())
        # A server's memory should be free before somebody asks for it again.
        concurrent.futures.wait(closing, wait_s)

"""Conversations, as chat models are fine-tuned with them: what was said, and what was answered to it.

`{"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}` is OpenAI's form,
`{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}` that of ShareGPT. Knows no file.
"""

from typing import Any

from worker.ingest.faults import shown
from worker.ingest.stages import SPEAKERS

KEYS = ("messages", "conversations")
SAYINGS = "content", "value"
ASKED, ANSWERED = frozenset({"user", "human"}), frozenset({"assistant", "gpt", "model", "bot"})
PROMPT, COMPLETION = "prompt", "completion"

Row = dict[str, Any]


def _key_of(row: Row) -> str | None:
    """The key under which a row holds a conversation; None where it holds none, or a prompt or completion beside it."""
    if PROMPT in row or COMPLETION in row:
        return None
    return next((key for key in KEYS if is_conversation(row.get(key))), None)


def as_pair(row: Row) -> Row:
    """The row with a prompt and a completion in place of its conversation, where it holds one.

    What the system is told is left out: it is the same in all rows. Raises ValueError where nobody is answered, or
    something else than texts is said.
    """
    key = _key_of(row)
    if key is None:
        return row
    turns = [(_speaker(turn), _said(turn, key)) for turn in row[key]]
    last = max((place for place, (who, _) in enumerate(turns) if who in ANSWERED), default=0)
    asked = [said for who, said in turns[:last] if who in ASKED or who in ANSWERED]
    if not any(map(str.strip, asked)):
        raise ValueError(f"{key!r} holds no answer to a user: end with a turn of the user and one of the assistant")
    rest = {name: value for name, value in row.items() if name != key}
    return {**rest, PROMPT: "\n".join(asked), COMPLETION: turns[last][1]}


def is_conversation(value: Any) -> bool:
    """Whether it is a list of turns, each with a speaker."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and _speaker(turn) for turn in value)


def _speaker(turn: Row) -> str | None:
    return next((turn[key] for key in SPEAKERS if isinstance(turn.get(key), str)), None)


def _said(turn: Row, key: str) -> str:
    said = next((turn[each] for each in SAYINGS if each in turn), None)
    if said is None:  # as beside calls of tools
        return ""
    parts = said if isinstance(said, list) else [{"text": said}]
    texts = [text for part in parts if isinstance(part, dict) and isinstance(text := part.get("text"), str)]
    if len(texts) < len(parts):
        raise ValueError(f"{key!r} holds {shown(said)}, no text, as what {_speaker(turn)!r} says")
    return "\n".join(texts)

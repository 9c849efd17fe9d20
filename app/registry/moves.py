"""Which moves of a job are legal. Knows no table."""

MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "paused", "cancelled", "failed"}),
    "running": frozenset({"succeeded", "failed", "cancelled", "paused", "queued"}),
    "paused": frozenset({"queued", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""From each state, the states that may follow it."""

TERMINAL = frozenset(state for state, following in MOVES.items() if not following)

"""How much a batch may hold, in elements, learnt from what batches take. Knows no queue and no model."""

SMALLEST_BUDGET = 1024
FIRST_BUDGET = 32 * 1024
LEAST_WORK = 4_000_000_000
"""Multiplications that are worth a batch, whatever it takes: smaller ones would only use the processor worse."""
LARGEST_BUDGET = 1024 * 1024
TARGET_SECONDS = 0.02
"""What a batch may take, and so about how long a newcomer waits: the budget follows what batches take."""
HERE_SECONDS = 0.0015
"""What a batch on the event loop may take: for so long no other request is read."""
FEW = 16
"""Requests. So many at once cost less on the event loop, all together, than the hop of each to the model's thread, and
are a batch that a network gains by."""


class BatchSize:
    """The bounds of one model's batches. For whoever computes, one at a time: each batch is computed within it."""

    def __init__(self, element_work: float) -> None:
        """`element_work` is about how many multiplications an element costs, as far as that is known."""
        worth = max(1, int(LEAST_WORK / max(1.0, element_work)))
        self._least = min(SMALLEST_BUDGET, worth)
        self.budget = min(FIRST_BUDGET, worth)
        """What a batch may cost."""
        self.here = 0
        """The largest cost that took no longer than HERE_SECONDS, and no longer than twice of that since."""
        self.doubted = False
        """True after a batch took longer than is known of its cost, or too long to tell whether as large ones may be
        computed here: the next one is to be measured by the time that its thread itself worked, however busy the
        machine and the interpreter are. To ask for that costs more than a small batch."""

    def learn(self, cost: int, seconds: float, worked: float | None = None) -> None:
        """From a batch that took so many `seconds`, of which its thread `worked`, where that was measured."""
        measured = worked is not None
        taken = seconds if worked is None else worked
        self.doubted = not measured and taken > (HERE_SECONDS if cost <= self.here else HERE_SECONDS / 2)
        if taken <= HERE_SECONDS:
            self.here = max(self.here, int(cost * min(2.0, HERE_SECONDS / max(taken, 1e-9))))
        elif measured and taken > 2 * HERE_SECONDS:
            self.here = min(self.here, max(int(cost * HERE_SECONDS / taken), self.here * 3 // 4))
        if cost * 2 < self.budget:
            return  # a batch that was far from full says little of what a full one takes
        if seconds > TARGET_SECONDS:
            self.budget = max(self._least, int(cost * TARGET_SECONDS / seconds))
        elif seconds < TARGET_SECONDS / 2:
            self.budget = min(LARGEST_BUDGET, self.budget * 2)

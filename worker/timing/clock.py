"""How long a training has taken, over all its attempts, and how far it is."""

import time
from typing import Any

from worker.checkpoint import Position
from worker.data.loader import Loader
from worker.data.mixture import Mixture


class Clock:
    """Runs from the first step of this process on; what earlier ones took stands in the position."""

    def __init__(self, position: Position) -> None:
        self._begun, self._begun_step = time.monotonic(), position.step
        self._before = position.elapsed_seconds

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before an interruption included, the pause itself not."""
        return self._before + time.monotonic() - self._begun

    def progress(self, position: Position, loader: Loader | Mixture, *, ended: bool) -> dict[str, Any]:
        """The job's object `progress`."""
        elapsed, steps_per_epoch = self.elapsed, loader.steps_per_epoch
        steps, here = position.step - self._begun_step, elapsed - self._before

        def seen(step: int) -> int:
            epochs, batches = divmod(step, steps_per_epoch)  # the last batch of an epoch may be shorter
            return epochs * loader.rows + batches * loader.batch_size

        done = 1.0 if ended else position.step / position.total_steps
        return {
            "percentage_done": round(100 * done, 2),
            "epoch": position.step // steps_per_epoch,
            "max_epoch": -(-position.total_steps // steps_per_epoch),
            "step": position.step,
            "max_steps": position.total_steps,
            "elapsed_time": round(elapsed, 3),
            "estimated_remaining_seconds": round((position.total_steps - position.step) * here / steps, 3)
            if steps > 0
            else None,
            "samples_per_second": round((seen(position.step) - seen(self._begun_step)) / here, 1)
            if steps > 0
            else None,
            "best_step": position.best_step,
        }

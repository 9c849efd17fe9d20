"""One validation of a training: scores the weights, keeps the best ones, decides early stopping, warns in words."""

from collections.abc import Mapping

from torch import Tensor

from worker.checkpoint import Position
from worker.progress import Reporter
from worker.step.optimizer import rate_factor
from worker.training_run import Run
from worker.validation import diagnosis
from worker.validation.scoring import Scorer

FEWEST_BESIDE_SOLUTION = 3
"""Validation rows from which steps have to be better than a solution that they began with, which few rows are no reason
to leave: codes of 67 rows of 2,308 numbers missed a tenth more by the last weights than by what they began with."""


class Validator:
    """Checkpoint selection and early stopping; what it has seen stands in the run's position, and so in checkpoints."""

    def __init__(self, reporter: Reporter, run: Run, scorer: Scorer) -> None:
        self.reporter, self.run, self.scorer = reporter, run, scorer
        self.best: dict[str, Tensor] = {}
        """The best weights so far, by name: those that will be published."""

    @property
    def position(self) -> Position:
        return self.run.position

    @property
    def can_choose(self) -> bool:
        solved = self.position.first_value is not None
        return self.scorer.rows >= (FEWEST_BESIDE_SOLUTION if solved else self.run.spec.objective.min_selection_rows)

    def look_first(self) -> None:
        """Scores the weights before the first step; those that are a solution begin the curve of validation."""
        position, network = self.position, self.run.network
        scores = self.scorer.score(network)
        position.began = scores.get("loss")
        if scores and network.begins_solved:
            position.first_value = scores[self.run.spec.objective.selection_metric[0]]
            position.metrics = {f"validation_{name}": value for name, value in scores.items()}
            self.reporter.metrics(step=0, epoch=0.0, splits={"validation": scores} | self._apart())

    def begin(self) -> None:
        """Keeps weights that are a solution before the first step; says so where the best ones cannot be told."""
        if self.can_choose and self.position.first_value is not None:
            self.position.best_step = 0
            self.keep()
        elif not self.can_choose:
            self.reporter.event(
                "message",
                f"{self.scorer.rows} validation rows are too few to choose the best weights by: "
                "the whole schedule is trained and the last weights are kept",
            )

    def keep(self) -> None:
        """These weights are to be published, unless better ones come."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.run.network.state_dict().items()}

    def stopped_early(self) -> bool:
        """True when patience is used up; the schedule's own end counts as no early stop."""
        stopping, position = self.run.spec.training.early_stopping, self.position
        return stopping is not None and position.stale >= stopping.patience and position.step < position.total_steps

    def validate(self, losses: Mapping[str, float], epoch: float) -> None:
        """Scores the weights in place and keeps them if they are the best ones; `losses` are those of training."""
        position, network = self.position, self.run.network
        scores = self.scorer.score(network)
        figures, found = diagnosis.of_embeddings(self.scorer.embeddings(network))
        splits = {"train": losses, "validation": scores | figures} | self._apart()
        self.reporter.metrics(step=position.step, epoch=epoch, splits=splits)
        position.validations += 1
        position.metrics = {f"train_{k}": v for k, v in losses.items()} | {
            f"validation_{k}": v for k, v in scores.items()
        }
        metric, more = self.run.spec.objective.selection_metric
        (value,) = self.run.devices.agree(scores[metric]) if scores else (None,)

        def gains(on: float | None) -> bool:
            if on is None or value is None or not self.can_choose:
                return True
            return value > on if more else value < on

        if gains(position.best_value):
            position.best_value, position.stale = value, 0
            if gains(position.first_value):
                position.best_step = position.step
                self.keep()
        else:
            position.stale += 1
        position.curves["train"].append(losses["loss"])
        position.curves["validation"] += [scores["loss"]] if scores else []
        count, ended = position.validations, position.step == position.total_steps or self.stopped_early()
        found += diagnosis.of_curves(
            position.curves["train"],
            position.curves["validation"],
            began=position.began,
            solved=position.first_value is not None,
            rates=[rate_factor(self.run.spec.training, (number + 0.5) / count) for number in range(count)],
            ended=ended,
            kept="best" if self.can_choose else "last",
        )
        self._tell(found)
        if self.stopped_early():
            self.reporter.event(
                "message",
                f"stopped early at step {position.step}: {metric} has not improved since step {position.best_step}",
            )
        if ended and position.best_step == 0:
            self.reporter.event(
                "message",
                f"no step was better by the validation rows than what was solved before the first one, which is kept: "
                f"{metric} was {position.first_value:.4g} then and {position.best_value:.4g} at best since; a smaller "
                "learning_rate or more data may add to it",
            )

    def _apart(self) -> dict[str, Mapping[str, float]]:
        """Of several datasets, the last scores of each, by the name of its curve."""
        return {f"validation:{domain}": values for domain, values in self.scorer.domains.items()}

    def _tell(self, found: list[diagnosis.Finding]) -> None:
        """Warns of what goes wrong, of everything once."""
        for finding in found:
            if finding.name not in self.position.told:
                self.position.told.append(finding.name)
                self.reporter.event("warning", finding.message, level="warn", data={"finding": finding.name})

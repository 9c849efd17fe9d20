"""The rules on curves that everybody would call by the same name."""

import math

import pytest
import torch

from app.ml.tensors.threads import computing_with
from worker.validation.diagnosis import dead, of_baselines, of_curves, of_embeddings

CURVES = {
    "overfits": ([5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1], [5.0, 4.0, 3.5, 3.2, 3.6, 3.9, 4.2, 4.5]),
    "diverges": ([1.0, 1.2, 1.5, 2.0, 4.0], [1.0, 1.1, 1.6, 2.1, 4.2]),
    "underfits": ([10.0, 9.0, 8.0, 7.0, 6.0, 5.0], [10.0, 9.0, 8.0, 7.0, 6.0, 5.0]),
    None: ([5.0, 2.0, 1.2, 1.05, 1.01, 1.0], [5.0, 2.1, 1.3, 1.15, 1.12, 1.11]),
}


@pytest.mark.parametrize("shift", [0.0, -20.0])
@pytest.mark.parametrize("name", CURVES)
def test_curves_are_called_by_their_names(name: str | None, shift: float) -> None:
    train, validation = ([loss + shift for loss in losses] for losses in CURVES[name])
    assert [finding.name for finding in of_curves(train, validation, ended=True)] == ([name] if name else [])


def test_what_is_learned_by_heart_from_the_start_overfits() -> None:
    """The first validation was the best one: there is no progress to compare with."""
    found = of_curves([0.7, 0.5, 0.3, 0.1, 0.02], [0.7, 0.8, 1.0, 1.3, 1.5], ended=True)
    assert [finding.name for finding in found] == ["overfits"]


def test_what_may_still_come_back_does_not_overfit_yet() -> None:
    """Rates are high in the middle of a schedule and fall at its end; what lost all it had learned is told at once."""
    train, validation = CURVES["overfits"]
    assert of_curves(train, validation, began=6.0) == []
    assert [each.name for each in of_curves(train, validation, began=6.0, ended=True)] == ["overfits"]
    assert [each.name for each in of_curves(train, [*validation[:4], 6.4, 6.8, 7.3, 7.9], began=6.0)] == ["overfits"]


def test_progress_counts_from_before_the_first_step() -> None:
    """Most of it may be made before the first validation: what is lost of the rest is little then."""
    train, validation = [0.9, 0.5, 0.3, 0.2, 0.1, 0.1], [0.3, 0.2, 0.22, 0.23, 0.24, 0.24]
    assert [each.name for each in of_curves(train, validation, ended=True)] == ["overfits"]
    assert of_curves(train, validation, began=2.3, ended=True) == []


def test_the_weights_that_are_kept_are_called_by_their_name() -> None:
    (told,) = of_curves(*CURVES["overfits"], ended=True, kept="last")
    assert "its last weights are kept" in told.message


def test_what_was_lost_on_the_way_and_came_back_as_nothing_diverges() -> None:
    """It falls evenly in the end; to ask for a higher rate would be wrong. What comes back better has learned."""
    train, validation = [3e10, 900.0, 1.3, 1.2, 1.1, 1.0], [4e4, 50.0, 1.4, 1.25, 1.15, 1.02]
    assert of_curves(train, validation, began=1.06) == []
    (told,) = of_curves(train, validation, began=1.06, ended=True)
    assert told.name == "diverges"
    assert "the loss was 1.06 before the first step, 3e+10 in between, and 1.02 at best" in told.message
    learned = of_curves([*train, 0.5], [*validation, 0.5], began=1.06, ended=True)
    assert "diverges" not in [each.name for each in learned]


def test_what_never_was_better_than_before_the_first_step_diverges() -> None:
    """The first steps did the harm, and the rate has fallen since."""
    train, validation = [900.0, 400.0, 90.0, 50.0, 40.0], [700.0, 300.0, 60.0, 45.0, 39.0]
    assert of_curves(train, validation, began=50.0) == []
    (told,) = of_curves(train, validation, began=1.0)
    assert told.name == "diverges"
    assert "validation loss was 1 before the first step and never better than 39 since" in told.message


@pytest.mark.parametrize("train", [[1.02, 1.03, 1.05, 1.04, 1.06], [1.12, 1.03, 1.02, 1.04, 1.01]])
def test_what_hardly_is_worse_than_before_stalls_and_does_not_diverge(train: list[float]) -> None:
    """As a graft whose head was solved before the first step."""
    validation = [1.121, 1.132, 1.11, 1.118, 1.107]
    assert of_curves(train, validation, began=1.0) == []
    (told,) = of_curves(train, validation, began=1.0, ended=True)
    assert told.name == "stalls"
    assert "the training adds nothing" in told.message


LEFT = [0.39, 0.48, 0.66, 0.7, 0.47]
"""Training losses of a network whose head was solved for the training rows: steps leave the solution at first."""


@pytest.mark.parametrize("ended", [False, True])
def test_steps_that_leave_a_solution_and_return_do_not_diverge(ended: bool) -> None:
    for validation in (
        [0.92, 1.26, 1.5, 0.95, 0.9],
        [0.92, 1.26, 1.5, 0.8, 0.81],
    ):  # never better than 0.86, and better
        assert of_curves(LEFT, validation, began=0.86, solved=True, ended=ended) == []


def test_steps_that_leave_a_solution_for_good_diverge() -> None:
    (told,) = of_curves([0.39, 2.0, 9.0, 15.0, 40.0], [0.92, 3.0, 12.0, 20.0, 60.0], began=0.86, solved=True)
    assert told.name == "diverges"
    assert "validation loss is 60 after 0.86 before the first step" in told.message


def test_steps_that_never_better_a_solution_do_not_overfit_where_it_is_kept() -> None:
    train, validation = [0.7, 0.5, 0.4, 0.35, 0.3], [1.05, 1.3, 1.5, 1.6, 1.4]
    assert of_curves(train, validation, began=1.03, solved=True, ended=True) == []
    (told,) = of_curves(train, validation, began=1.03, solved=True, ended=True, kept="last")
    assert told.name == "overfits"


def test_what_comes_back_later_is_not_said_to_diverge_and_then_to_overfit() -> None:
    """A small graft whose solved head suits the few validation rows better than the first steps do."""
    train, validation = [0.45, 0.42, 0.4, 0.38, 0.36, 0.3, 0.2, 0.1], [0.5, 0.45, 0.44, 0.46, 0.47, 0.5, 0.55, 0.6]
    told = [each.name for last in range(5, 9) for each in of_curves(train[:last], validation[:last], began=0.3)]
    assert told == []
    assert [each.name for each in of_curves(train, validation, began=0.3, ended=True)] == ["overfits"]


def test_what_falls_by_rate_and_not_by_time_is_unfinished() -> None:
    """An evenly falling loss under a rate that falls to nothing: its last validations are all alike."""
    rates = [1.0, 0.9, 0.7, 0.5, 0.3, 0.15, 0.05, 0.01]
    even = [10 - sum(rates[: number + 1]) for number in range(len(rates))]
    settled = [10 * math.exp(-sum(rates[: number + 1])) for number in range(len(rates))]
    assert [each.name for each in of_curves(even, even, began=10.0, rates=rates, ended=True)] == ["underfits"]
    assert of_curves(settled, settled, began=10.0, rates=rates, ended=True) == []


def test_a_training_that_has_not_ended_does_not_underfit() -> None:
    assert of_curves(*CURVES["underfits"]) == []


def test_few_validations_say_nothing() -> None:
    train, validation = CURVES["diverges"]
    assert of_curves(train[:4], validation[:4]) == []


def test_a_hardly_noisy_plateau_is_no_overfitting() -> None:
    validation = [5.0, 2.0, 1.2, 1.1, 1.12, 1.11, 1.13, 1.12]
    assert of_curves([5.0, 2.0, 1.2, 1.1, 1.0, 0.95, 0.9, 0.88], validation) == []


def test_rows_in_a_plane_have_rank_two() -> None:
    rows = torch.randn(200, 2) @ torch.linalg.qr(torch.randn(8, 2)).Q.T
    assert of_embeddings(rows + 3)[0]["effective_rank"] == pytest.approx(2.0, abs=0.1)
    assert of_embeddings(torch.ones(100, 4))[0]["effective_rank"] == 0.0


@pytest.mark.parametrize(
    "rows",
    [
        torch.ones(100, 8),
        torch.randn(100, 1) @ torch.ones(1, 8),
        torch.randn(100, 8) * torch.tensor([1.0] * 4 + [0.0] * 4),
    ],
)
def test_points_lines_and_idle_numbers_are_a_collapse(rows: torch.Tensor) -> None:
    _, found = of_embeddings(rows)
    assert [finding.name for finding in found] == ["collapses"]


def test_a_cloud_is_no_collapse() -> None:
    figures, found = of_embeddings(torch.randn(200, 8))
    assert found == []
    assert figures["effective_rank"] > 7
    assert dead(torch.randn(200, 8)) == 0


def test_directions_are_counted_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    strengths = torch.linalg.svdvals

    def noted(rows: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        found: torch.Tensor = strengths(rows)
        return found

    monkeypatch.setattr(torch.linalg, "svdvals", noted)
    with computing_with(2):
        of_embeddings(torch.randn(100, 8))
        assert torch.get_num_threads() == 2
    assert threads == [1]


@pytest.mark.parametrize(
    ("ours", "more", "outdone"), [(0.5, True, False), (0.15, True, True), (0.4, True, False), (0.5, False, True)]
)
def test_what_is_worth_less_than_a_simple_answer_is_told(ours: float, more: bool, outdone: bool) -> None:
    baselines = {"copy": {"chrf": 0.2}, "nearest": {"chrf": 0.4}, "other": {"mse": 9.0}}
    found = of_baselines({"chrf": ours, "split": "test", "baselines": baselines}, "chrf", more=more)
    assert [finding.name for finding in found] == (["outdone"] if outdone else [])
    if found:
        best = "'nearest' has 0.4" if more else "'copy' has 0.2"
        assert best in found[0].message
        assert f"chrf is {ours:.3g} on the test rows" in found[0].message


def test_what_has_no_simple_answer_beside_it_is_not_judged_by_one() -> None:
    assert of_baselines({"mse": 1.0, "split": "test", "baselines": {"pca": {"mse": 0.5}}}, "loss", more=False) == []
    assert of_baselines({"chrf": 1.0, "split": "test", "baselines": {}}, "chrf", more=True) == []

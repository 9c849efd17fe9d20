import math

import torch

from app.ml.series.summary import SEGMENT, Summary


def test_each_channel_has_its_level_its_swing_and_its_speed() -> None:
    steps = torch.arange(64)[:, None]
    series = torch.cat([3 + 2 * (2 * math.pi * 2 * steps / 64).sin(), (2 * math.pi * 20 * steps / 64).sin()], 1)[None]
    summary = Summary(64, 2)
    told = summary(series)
    assert told.shape == (1, summary.width)
    mean, deviation, low, high = told[0, :8].view(4, 2)
    torch.testing.assert_close(mean, torch.tensor([3.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(deviation, torch.tensor([math.sqrt(2), math.sqrt(0.5)]))
    torch.testing.assert_close(torch.stack([low, high]), torch.tensor([[1.0, -1.0], [5.0, 1.0]]), atol=0.02, rtol=0)
    slow, fast = told[0, 8:].view(2, -1).argmax(1).tolist()
    assert slow < fast


def test_a_spectrum_does_not_depend_on_where_a_wave_begins() -> None:
    steps = torch.arange(3 * SEGMENT)[:, None] / SEGMENT
    waves = torch.stack([(2 * math.pi * (9 * steps + shift)).sin() for shift in (0, 0.2, 0.7)])
    powers = Summary(len(steps), 1)(waves)[:, 4:]
    torch.testing.assert_close(powers[0].expand(3, -1), powers, atol=1e-3, rtol=0)


def test_series_of_a_single_step_and_such_that_never_change_have_finite_figures() -> None:
    for steps in (1, 2, 3):
        summary = Summary(steps, 3)
        told = summary(torch.full((2, steps, 3), 7.0))
        assert told.shape == (2, summary.width)
        assert told.isfinite().all()

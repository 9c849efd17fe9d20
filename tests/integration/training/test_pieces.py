"""Numbers told piece by piece, as regression from tables reads them by default."""

import numpy as np

from tests.workshop import Workshop


def test_steps_and_waves_within_a_column_are_learned_by_default(sqlite: Workshop) -> None:
    """What a network hardly learns of the number alone: a column that leaps up and down as hours of a day do."""
    random = np.random.default_rng(0)
    hours, noise = random.integers(0, 24, 800), random.normal(size=(800, 3))
    levels = random.permutation(np.repeat([-1.0, 0.0, 1.0], 8))[hours]
    rows = np.column_stack([hours, noise, levels + 0.1 * random.normal(size=800)])
    content = "hour,a,b,c,y\n" + "\n".join(",".join(f"{number:.5g}" for number in row) for row in rows)
    dataset = sqlite.dataset(content.encode(), "hours.csv", columns={"value": "y"})
    errors: dict[str, float] = {}
    for name, encoder in (("auto", {"name": "auto"}), ("plain", {"name": "mlp"})):
        job = sqlite.job(dataset, objective={"name": "regression"}, encoder=encoder, training={"epochs": 20})
        version = sqlite.train(job)
        errors[name] = version.metrics["rmse"] / version.metrics["baselines"]["mean"]["rmse"]
    assert version.spec["roles"]["input"]["encoder"]["pieces"] is None
    assert errors["auto"] < 0.3
    assert errors["auto"] < 0.6 * errors["plain"]

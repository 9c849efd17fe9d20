import pytest
import torch

from app.ml.encoders.mlp import Mlp
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.base import Role
from app.ml.objectives.variational import Variational, VariationalAutoencoder
from app.ml.tensors.batch import Batch
from tests.networks import rows

ROWS = rows(200, 10) @ rows(10, 10, seed=1)


def network(width: int = 4, **settings: float) -> tuple[VariationalAutoencoder, Batch]:
    torch.manual_seed(0)
    fitted = Vectors().fit([ROWS])
    role = Role(fitted, Mlp(widths=(32,)).build(fitted.shape), width)
    built = Variational.model_validate(settings).build({"input": role})
    return built, Batch({"input": fitted.encode(ROWS)}, torch.arange(len(ROWS)), 3)


def taught(built: VariationalAutoencoder, batch: Batch, steps: int = 120) -> dict[str, float]:
    optimizer = torch.optim.AdamW(built.parameters(), lr=1e-2)
    built.train()
    for step in range(steps):
        loss = built.loss(Batch(batch.roles, batch.rows, step))
        optimizer.zero_grad()
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        return built.eval().metrics([batch])


def test_the_loss_is_the_bound_on_the_likelihood() -> None:
    built, batch = network()
    built.eval()
    inputs = batch.roles["input"]
    features = built.encoders["input"](inputs).pooled
    mean, log_variance = built.bottleneck(features), built.spread(features)
    cloud = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    origin = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    kl = torch.distributions.kl_divergence(cloud, origin).sum(1)
    likely = 0.5 * (built.decoder(mean) - inputs["values"]).square().mean(1)
    torch.testing.assert_close(built.loss(batch).sum, (likely + kl / 10).sum())


def test_a_heavier_beta_makes_codes_say_less() -> None:
    light, heavy = taught(*network(beta=0.1)), taught(*network(beta=20.0))
    assert light["mse"] < 0.5
    assert heavy["kl"] < 0.5 * light["kl"]
    assert light["mse"] < heavy["mse"]


def test_free_bits_keep_a_code_from_falling_silent() -> None:
    silent, speaking = taught(*network(beta=1000.0)), taught(*network(beta=1000.0, free_bits=0.5))
    assert silent["kl"] < 0.1
    assert speaking["kl"] > 0.5


def test_a_code_is_drawn_while_training_alone() -> None:
    built, batch = network()
    other = Batch(batch.roles, batch.rows, batch.seed + 1)
    assert not torch.equal(built.loss(batch).sum, built.loss(other).sum)
    assert torch.equal(built.loss(batch).sum, built.loss(batch).sum)
    built.eval()
    assert torch.equal(built.loss(batch).sum, built.loss(other).sum)
    assert built.embed(batch.roles["input"]).shape == (200, 4)


def test_constant_data_stay_finite() -> None:
    torch.manual_seed(0)
    fitted = Vectors().fit([torch.ones(50, 3).numpy()])
    built = Variational().build({"input": Role(fitted, Mlp(widths=(4,)).build(fitted.shape), 2)})
    batch = Batch({"input": fitted.encode(torch.ones(50, 3).numpy())}, torch.arange(50))
    with torch.no_grad():
        assert built.noise is not None
        built.noise.fill_(-100.0)
    assert built.loss(batch).sum.isfinite()
    assert taught(built, batch, 20)["mse"] == pytest.approx(0.0, abs=1.0)

"""Ten labels of each class: a graft on an encoder that has seen all rows without labels, beside training from scratch.

Texts (benchmarks/labelled_texts.py) and tables of numbers (benchmarks/tables.py) go through the HTTP API with defaults
alone: one job learns from the training rows without labels, then for each draw of labels one classifies with that model
as its base and one is the same without it; both take equally many steps. Of texts a third one has an untaught encoder
of the base's form, which differs from what the service takes by itself. Beside them stands the service's linear probe
on the base model's embeddings. All are judged on rows that nothing was learned from; intervals are over the draws.

    .venv/bin/python benchmarks/few_labels.py [--texts movies glosses …] [--tables vehicle vowel …] [--draws 5]
    .venv/bin/python benchmarks/few_labels.py --request '{"objective": {"name": "contrastive"}}'
"""

import argparse
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from evaluation import Data, linear, seconds, shown, split
from labelled_texts import SETS, rows
from tables import tables

from app.demo.digits import npz
from app.demo.service import Client, started

PER_CLASS = 10
MOST_JUDGED = 1000
BESIDE = ("scratch", "untaught")


def table(client: Client, data: Data, modality: str, *, labelled: bool) -> str:
    """Makes a dataset of rows, with their labels where they are to be learned; gives its id."""
    columns = {"rows": data.rows, "split": data.split} | ({"label": data.labels.astype(np.str_)} if labelled else {})
    role = "text" if modality == "text" else "features"
    body = {
        "name": data.name,
        "modality": modality,
        "columns": {role: "rows", "split": "split"} | ({"label": "label"} if labelled else {}),
        "cleaning": {"duplicates": "keep"},
    }
    if modality != "text":
        return client.dataset("rows.npz", npz(**columns), body)
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([[*columns], *zip(*columns.values(), strict=True)])
    return client.dataset("texts.csv", lines.getvalue().encode(), body)


def told(client: Client, model: str, data: Data) -> float:
    """Share of the rows to judge that the model names rightly."""
    asked, truth = data.part("test")
    answers = client.predictions(model, asked.tolist())
    return float(np.mean(np.array([answer["label"] for answer in answers]) == truth.astype(np.str_)))


def judge(
    client: Client, data: Data, modality: str, draw: int, base: dict[str, Any], wanted: Sequence[str]
) -> dict[str, float]:
    """Accuracies of one draw of labels, of the base and of what else is `wanted`."""
    train, known = data.part("train")
    order = np.random.default_rng(draw).permutation(len(train))
    chosen = np.concatenate([order[known[order] == label][:PER_CLASS] for label in np.unique(known)])
    few = Data(f"{data.name}-few-{draw}", train[chosen], known[chosen], np.full(len(chosen), "train", dtype="<U10"))
    dataset = table(client, few, modality, labelled=True)
    scratch = {"kind": "pretrain", "objective": {"name": "classification"}}
    recipes = {"fine-tuned": {"kind": "finetune", "base_model": base["model"]}, "scratch": scratch}
    if modality == "text":
        recipes["untaught"] = {**scratch, "encoder": base["spec"]["roles"]["input"]["encoder"]}
    found: dict[str, float] = {}

    def note(name: str, right: float) -> None:
        found[name] = right
        print(f"{data.name:10} draw {draw}  {name:10} {100 * right:.1f}", flush=True)

    for name in [name for name in recipes if name in ("fine-tuned", *wanted)]:
        body = {**recipes[name], "dataset": dataset, "name": f"few-{name}", "training": {"seed": draw}}
        note(name, told(client, client.train(f"{data.name} {name} {draw}", body)["model"], data))
    asked, truth = data.part("test")
    parts = [np.array(client.embeddings(base["model"], each.tolist()), np.float32) for each in (few.rows, asked)]
    note("probe", linear(*parts, few.labels, truth))
    return found


def texts(name: str, arguments: argparse.Namespace) -> Data:
    drawn = rows(name, arguments.cache, arguments.seed, arguments.rows)
    names = sorted({label for label, _ in drawn})
    labels = np.array([names.index(label) for label, _ in drawn])
    return Data(name, np.array([text for _, text in drawn], object), labels, split(len(drawn), arguments.seed))


def numbers(arguments: argparse.Namespace) -> list[Data]:
    found = []
    for name, values, labels in tables(arguments.cache / "keel", arguments.tables) if arguments.tables else ():
        chosen = np.random.default_rng(arguments.seed).permutation(len(values))[: arguments.rows]
        found.append(Data(name, values[chosen], labels[chosen], split(len(chosen), arguments.seed)))
    return found


def pretrained(client: Client, data: Data, modality: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The job of a model that has learned from the training rows without their labels."""
    known = data.split != "test"
    rest = Data(data.name, data.rows[known], data.labels[known], data.split[known])
    dataset = table(client, rest, modality, labelled=False)
    return client.train(data.name, {"kind": "pretrain", "name": data.name, "dataset": dataset, **arguments.request})


def fewer(data: Data) -> Data:
    """With no more rows to judge than are needed."""
    held = np.flatnonzero(data.split == "test")
    kept = np.ones(len(data.split), dtype=bool)
    kept[held[MOST_JUDGED:]] = False
    return Data(data.name, data.rows[kept], data.labels[kept], data.split[kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="*", choices=sorted(SETS), default=["movies", "glosses"])
    parser.add_argument("--tables", nargs="*", default=["vehicle", "vowel", "segment", "optdigits"])
    parser.add_argument("--rows", type=int, default=3000, help="of a set at most, those to judge included")
    parser.add_argument("--draws", type=int, default=5, help="of labels")
    parser.add_argument("--beside", nargs="*", choices=BESIDE, default=BESIDE)
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the request without labels")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    sets = [("text", texts(name, arguments)) for name in arguments.texts]
    sets += [("vectors", data) for data in numbers(arguments)]
    with started() as client:
        for modality, whole in sets:
            data = fewer(whole)
            base = pretrained(client, data, modality, arguments)
            found = [judge(client, data, modality, draw, base, arguments.beside) for draw in range(arguments.draws)]
            part = base["spec"]["roles"]["input"]["encoder"]["name"]
            print(f"{data.name:10} {base['spec']['objective']['name']} through {part}, {seconds(base):.0f} s")
            for name in found[0]:
                gains = [each["fine-tuned"] - each[name] for each in found]
                line = f"  {name:10} {shown([each[name] for each in found]):12}"
                print(line if name == "fine-tuned" else f"{line} fine-tuned above it {shown(gains)}", flush=True)


if __name__ == "__main__":
    main()

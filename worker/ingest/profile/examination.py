"""Looks at finished splits for what a careful practitioner would point out, and puts it into words.

Exact counts come from the kinds; what is said here rests on samples, whose sizes stand beside it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.dataset import Split
from app.dataset_options import SPLITS
from worker.ingest.faults import counted, some
from worker.ingest.planning.plan import INPUTS
from worker.ingest.profile.drift import drift
from worker.ingest.profile.leakage import leaks
from worker.ingest.profile.near import near_duplicates
from worker.ingest.profile.sample import Sample, take
from worker.ingest.profile.suspects import suspects

BINS, SHADES = 20, 16
"""Bins of a column's histogram; shades of gray in one bin of a picture's."""
MOST_HISTOGRAMS, MOST_PIXELS = 256, 2_000_000
FAR = 5.0
"""Spreads of the middle half beyond which a value is called far out."""
UNEVEN = 10
"""How many times the rarest class the commonest may have."""
FEW_PER_CLASS = 10
FEW_JUDGED = 50
"""Labelled rows that judge models, below which an accuracy may be off by 14 points and more."""
FEW_ROWS_PER_COLUMN = 5
JUDGED = ("test", "validation")
"""Splits by which models are judged, the first one that has rows."""
MANY = 0.1
"""Share of rows drawn with equal ones from which on that may be why splits differ."""
LISTED = 10


def examine(
    splits: Mapping[str, Split], profile: Mapping[str, Any], *, drawn_together: int = 0
) -> tuple[dict[str, Any], list[str]]:
    """What the profile gains, and warnings in words; so many rows were drawn with equal ones."""
    role = next(role for role in INPUTS if role in splits["train"].modalities)
    train = take(splits["train"], role)
    judged = "test" if splits["test"].rows else "validation"
    other = take(splits[judged], role)
    names = column_names(profile, role, train)
    found: dict[str, Any] = {"sampled_rows": len(train)}
    if train.modality in ("vectors", "image"):
        columns = profile[role].get("columns", [])
        categories = {column["name"]: column["categories"] for column in columns if column["kind"] == "category"}
        found["histograms"] = histograms(train, names, categories)
        found["outliers"] = outliers(train, names)
    found["label_noise"] = suspects(train)
    found["drift"] = {"between": ["train", judged], **shift} if (shift := drift(train, other, names)) else None
    found["leaks"] = leaks(train, names)
    found["near_duplicates"] = near_duplicates(dict(splits), role)
    return {"examination": found}, [*advice(profile), *said(found, drawn_together / profile["rows"] > MANY)]


def column_names(profile: Mapping[str, Any], role: str, sample: Sample) -> list[str] | None:
    """Names of a table's columns that are looked at; None for all that is no table of plain columns."""
    if sample.modality != "vectors":
        return None
    facts = profile[role]
    known = [column["name"] for column in facts.get("columns", [])]
    plays = [column for column in profile["columns"] if column["plays"] == "features"]
    known = known or [column["name"] for column in plays]
    width = sample.raw.shape[1]
    if len(known) != width:
        known = [f"{known[0]}[{place}]" for place in range(width)]
    return [known[place] for place in sample.columns]


def histograms(
    sample: Sample, names: list[str] | None, categories: Mapping[str, list[str]] | None = None
) -> list[dict[str, Any]]:
    """Counts in equal bins from the smallest to the largest value, of every column or of all pixels; of categories
    those of the commonest names."""
    if names is None:
        values = np.asarray(sample.raw).reshape(-1)
        values = values[:: max(1, len(values) // MOST_PIXELS)]
        counts = np.bincount(values, minlength=256).reshape(-1, SHADES).sum(axis=1)
        return [{"name": "pixels", "edges": list(range(0, 257, SHADES)), "counts": counts.tolist()}]
    columns = {name: sample.raw[:, place] for name, place in zip(names, sample.columns, strict=True)}
    found = []
    for name, column in list(columns.items())[:MOST_HISTOGRAMS]:
        known = column[np.isfinite(column)].astype(np.float64)
        called = (categories or {}).get(name)
        if called is not None:
            most = Counter(known.astype(np.int64).tolist()).most_common(BINS)
            commonest, numbers = [called[code] for code, _ in most], [number for _, number in most]
            found.append({"name": name, "values": commonest, "counts": numbers})
            continue
        if len(known):
            counts, edges = np.histogram(known, BINS if known.min() < known.max() else 1)
            found.append({"name": name, "edges": [float(edge) for edge in edges], "counts": counts.tolist()})
    return found


def outliers(sample: Sample, names: list[str] | None) -> dict[str, Any]:
    """Rows with a value far out of the middle half (Tukey 1977), and pictures of one colour alone."""
    if names is None:
        flat = np.asarray(sample.raw).reshape(len(sample), -1)
        return {"plain_pictures": int((flat.min(axis=1) == flat.max(axis=1)).sum())}
    low, high = np.quantile(sample.features, [0.25, 0.75], axis=0)
    spread = np.where(high > low, high - low, np.inf)
    far = (sample.features < low - FAR * spread) | (sample.features > high + FAR * spread)
    counts = far.sum(axis=0)
    worst = [place for place in np.argsort(-counts, kind="stable")[:LISTED] if counts[place]]
    return {
        "rows": int(far.any(axis=1).sum()),
        "columns": [{"name": names[place], "rows": int(counts[place])} for place in worst],
    }


def advice(profile: Mapping[str, Any]) -> list[str]:
    """What follows from exact counts."""
    found = []
    target = profile["target"]
    if target is not None and target["modality"] == "classes":
        sizes = {name: number for name, number in target["splits"]["train"].items() if number}
        if sizes:
            most, least = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
            if sizes[most] > UNEVEN * sizes[least]:
                found.append(
                    f"classes are uneven: {counted(sizes[most], 'training row')} of {most!r}, "
                    f"{sizes[least]:,} of {least!r}; accuracy alone will hide the rare ones"
                )
            lone = [name for name, number in target["classes"].items() if number == 1]
            if lone:
                found.append(
                    f"{counted(len(lone), 'class')} with a single row, which can only be in one split: {some(lone)}"
                )
            if len(lone) < len(sizes) and sizes[least] < FEW_PER_CLASS:
                found.append(
                    f"{least!r} has {counted(sizes[least], 'training row')}; {FEW_PER_CLASS} and more are usual"
                )
        judges = next((name for name in JUDGED if profile["splits"].get(name)), JUDGED[0])
        judged = sum(target["splits"].get(judges, {}).values())
        if judged == 0 and profile["splits"].get(judges) and sizes:
            found.append(f"no row of {judges} has a label: how well models tell labels cannot be seen there")
        if 0 < judged < FEW_JUDGED:
            found.append(
                f"{counted(judged, 'labelled row')} will judge models: an accuracy there may be off by "
                f"{98 / judged**0.5:.0f} points"
            )
    facts = profile.get("input") or {}
    if facts.get("modality") == "vectors" and profile["splits"]["train"] < FEW_ROWS_PER_COLUMN * facts["shape"][0]:
        found.append(
            f"{counted(profile['splits']['train'], 'training row')} for {counted(facts['shape'][0], 'column')}: "
            "a network will learn them by heart"
        )
    return found


def said(found: Mapping[str, Any], drawn_together: bool) -> list[str]:
    """The findings that call for a look; whether many rows were drawn with equal ones."""
    words = []
    noise, shift, near = found["label_noise"], found["drift"], found["near_duplicates"]
    if noise and noise["suspects"]:
        words.append(
            f"{noise['suspects']:,} of {noise['sampled_rows']:,} sampled labels disagree with nearly all their "
            "neighbours; see examination.label_noise"
        )
    if shift and shift["columns"]:
        listed = ", ".join(repr(column["name"]) for column in shift["columns"][:5])
        if drawn_together:
            why = 'equal rows stay on one side, and cleaning {"duplicates": "keep"} draws each by itself'
        else:
            why = "results there may not hold elsewhere"
        words.append(f"train and {shift['between'][1]} differ in {listed}; {why}")
    for leak in found["leaks"]:
        if "rank_correlation" in leak:
            same = f"puts rows in the order of the value (rank correlation {leak['rank_correlation']:.3f})"
        else:
            same = f"gives the label away ({leak['accuracy']:.1%})"
        words.append(f"{leak['column']!r} alone {same}; is it known beforehand?")
    for name in SPLITS[1:]:
        if near and near[name]:
            words.append(f"{counted(near[name], 'row')} of {name} with a nearly equal row in train")
    return words

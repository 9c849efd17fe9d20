"""CSV as programs and countries write it: delimiters, decimal signs, headers, gaps, what precedes the rows."""

from typing import Any

import numpy as np
import pytest

N = 30
ROWS = [(n + 0.25, 1000 * n + 0.5, "xy"[n % 2]) for n in range(N)]
EXPECTED = [row[:2] for row in ROWS]


def german(value: float, *, thousands: str = "") -> str:
    return f"{value:,.2f}".replace(",", "T").replace(".", ",").replace("T", thousands)


@pytest.mark.parametrize(
    ("delimiter", "thousands"), [(";", ""), (";", "."), (";", " "), ("\t", "."), ("|", ""), (";", "\N{NO-BREAK SPACE}")]
)
@pytest.mark.parametrize("named", [True, False])
def test_decimal_commas(ingest: Any, delimiter: str, thousands: str, named: bool) -> None:
    cells = [(german(a, thousands=thousands), german(b, thousands=thousands), c) for a, b, c in ROWS]
    lines = [("Länge", "Preis", "Klasse"), *cells] if named else cells
    made = ingest({"x.csv": "\r\n".join(map(delimiter.join, lines)).encode("utf-8-sig")})
    np.testing.assert_array_equal(made.read("input"), EXPECTED)
    assert made.read("target").tolist() == [row[2] for row in ROWS]
    column = made.column("Preis" if named else "f1")
    assert (column["plays"], column["max"]) == ("features", 29_000.5)
    assert "','" in made.profile["inferred"][column["name"]]


@pytest.mark.parametrize("gap", ["", "n/a"])
def test_thousands_that_could_be_fractions_are_told(ingest: Any, gap: str) -> None:
    rows = [f"{n}.{n:03};{n}.5;{n}" for n in range(100, 130)]
    text = "\n".join(["price;weight;label", *rows, f"{gap};1.5;1"]).encode()
    told = ingest({"x.csv": text}, cleaning={"non_finite": "impute"}).profile["inferred"]
    assert "price" not in told  # another column has points before fractions
    whole = "\n".join(["price;stock", *(f"{n}.{n:03};{n}" for n in range(100, 130)), f"{gap};7"]).encode()
    told = ingest({"x.csv": whole}, cleaning={"non_finite": "impute"}).profile["inferred"]
    assert told["price"] == (
        "numbers like '100.100', read with '.' before fractions; where it stands between thousands, give decimal ','"
    )
    assert "stock" not in told


def test_decimal_signs_as_asked(ingest: Any) -> None:
    text = "a;b;label\n" + "".join(f"{n},{n:03};{n}.{n:03};{'xy'[n % 2]}\n" for n in range(1, 30))
    comma = ingest({"x.csv": text.encode()}, decimal=",").read("input")
    point = ingest({"x.csv": text.encode()}, decimal=".").read("input")
    np.testing.assert_allclose(comma[4], [5.005, 5005])
    np.testing.assert_allclose(point[4], [5005, 5.005])


@pytest.mark.parametrize("cell", ['"{:,.2f}"', '"${:,.2f}"', '"€ {:,.2f}"', '"{:,.2f} %"', "{:.2f}%"])
def test_thousands_money_and_percent(ingest: Any, cell: str) -> None:
    rows = "".join(f"{n},{cell.format(1000 * n + 0.5)},{'xy'[n % 2]}\n" for n in range(N))
    made = ingest({"x.csv": f"a,b,label\n{rows}".encode()})
    np.testing.assert_array_equal(made.read("input")[:, 1], [1000 * n + 0.5 for n in range(N)])


def test_what_is_no_number_among_them_is_named(ingest: Any) -> None:
    cells = [german(n + 0.5) for n in range(N)]
    cells[7] = "3,5,1"
    made = ingest({"x.csv": ("a;b\n" + "".join(f"{cell};{n}\n" for n, cell in enumerate(cells))).encode()})
    assert [(fault.row, fault.column, fault.code) for fault in made.faults] == [(8, "a", "not_a_number")]
    assert "'3,5,1'" in made.faults[0].message


@pytest.mark.parametrize("gap", ["NA", "n/a", "?", " ?", "NULL", "None", "-", "#N/A", ""])
def test_what_stands_for_no_number(ingest: Any, gap: str) -> None:
    text = "a,b,label\n" + "".join(f"{gap if n % 7 == 0 else n},{n / 2},{'xy'[n % 2]}\n" for n in range(N))
    made = ingest({"x.csv": text.encode()}, cleaning={"non_finite": "impute"})
    assert np.isnan(made.read("input")[:, 0]).tolist() == [n % 7 == 0 for n in range(N)]
    assert made.column("a")["missing"] == 5
    assert ingest({"x.csv": text.encode()}).codes == ["non_finite"] * 5


def test_such_words_stay_texts_and_categories(ingest: Any) -> None:
    text = "a,b,kind\n" + "".join(f"{n},{n / 2},{'NA' if n % 2 else 'EU'}\n" for n in range(N))
    made = ingest({"x.csv": text.encode()})
    assert made.profile["target"]["classes"] == {"EU": 15, "NA": 15}


@pytest.mark.parametrize(
    ("before", "header"),
    [
        ("sep=;\r\n", "a;b;label"),
        ("# made by a tool\n# version 2\n", "a;b;label"),
        ("", "# a;b;label"),
        ("", "a;b;label"),
    ],
)
def test_what_stands_before_the_header(ingest: Any, before: str, header: str) -> None:
    text = f"{before}{header}\n" + "".join(f"{n}.5;{n};{'xy'[n % 2]}\n" for n in range(N))
    made = ingest({"x.csv": text.encode()})
    np.testing.assert_array_equal(made.read("input"), [[n + 0.5, n] for n in range(N)])
    assert made.column("label")["plays"] == "label"
    broken = ingest({"x.csv": f"{text}oops;1;x\n".encode()})
    assert [(fault.row, fault.column) for fault in broken.faults] == [(N + 1, "a")]


@pytest.mark.parametrize(
    "rows",
    [
        [f"{n}.5,{n}.25,Iris-{'xy'[n % 2]}" for n in range(N)],
        [f"{'spam' if n % 3 else 'ham'}\tfree entry in {n} a weekly draw" for n in range(N)],
        [f"{n}.5, {'State' if n % 2 else 'Private'}, {n}.25" for n in range(N)],
        [f"{n if n % 4 else '?'},{'State' if n % 2 else 'Private'}" for n in range(N)],
    ],
)
def test_no_header_where_the_first_row_is_like_the_others(ingest: Any, rows: list[str]) -> None:
    options: dict[str, Any] = {"cleaning": {"non_finite": "impute"}}
    made = ingest({"x.data": "\n".join(rows).encode()}, **options)
    assert made.profile["rows"] == N
    assert {column["name"] for column in made.profile["columns"]} <= {"f0", "f1", "f2"}
    assert ingest({"x.data": "\n".join(rows).encode()}, header=True, **options).profile["rows"] == N - 1


@pytest.mark.parametrize("gap", ["", "NA", " "])
def test_a_header_over_numbers_that_names_one_of_the_kinds(ingest: Any, gap: str) -> None:
    rows = [f"{'metal' if n % 3 else 'nonmetal'},{gap if n % 4 else n},{n}.5" for n in range(N)]
    made = ingest({"x.csv": "\n".join(["metal,ion radius,density", *rows]).encode()}, cleaning={"non_finite": "impute"})
    assert made.profile["rows"] == N
    assert made.profile["target"]["classes"] == {"metal": 20, "nonmetal": 10}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["a,size in cm,label", "a,b c,", " a , b , label "])
def test_headers_that_come_again_are_passed_over(ingest: Any, delimiter: str, header: str) -> None:
    rows = [f"{n}.5,{n * n % 7},{'xy'[n % 2]}" for n in range(2 * N)]
    if header.endswith(","):
        rows = [row[:-1] for row in rows]
    lines = [header, header, *rows[:N], header, *rows[N:]]
    made = ingest({"x.csv": "\n".join(lines).replace(",", delimiter).encode()})
    assert made.profile["rows"] == 2 * N
    np.testing.assert_array_equal(made.read("input"), [[n + 0.5, n * n % 7] for n in range(2 * N)])
    assert "x.csv: 2 lines that repeat the header are passed over" in made.profile["inferred"]["header"]
    broken = [*lines[:5], "1.5", *lines[5:], "oops,1,x" if not header.endswith(",") else "oops,1,"]
    made = ingest({"x.csv": "\n".join(broken).replace(",", delimiter).encode()})
    assert [(fault.code, fault.row) for fault in made.faults] == [("ragged_row", 5), ("not_a_number", len(broken) - 1)]


def test_headers_that_come_again_far_below(ingest: Any) -> None:
    rows = [f"{n}.5,{n * n % 7},{'xy'[n % 2]}" for n in range(3000)]
    made = ingest({"x.csv": "\n".join(["a,b,label", *rows[:2000], "a,b,label", *rows[2000:]]).encode()})
    assert made.profile["rows"] == 3000, made.faults
    assert "x.csv: 1 line that repeat" in made.profile["inferred"]["header"]


def test_headers_that_come_again_over_texts(ingest: Any) -> None:
    lines = ["text,label", *(f"this is text number {n},{'xy'[n % 2]}" for n in range(N))]
    made = ingest({"x.csv": "\n".join(lines + lines).encode()}, cleaning={"duplicates": "keep"})
    assert (made.profile["rows"], made.profile["modality"]) == (2 * N, "text")
    assert made.profile["target"]["classes"] == {"x": N, "y": N}


@pytest.mark.parametrize("first", ["Go on, then!\tVas-y !", "republican\tn"])
def test_a_first_row_that_comes_again_is_no_header(ingest: Any, first: str) -> None:
    rows = [f"{'republican' if n % 2 else 'democrat'}\t{'nyu'[n % 3]}" for n in range(N)]
    if first.startswith("Go"):
        rows = [f"This is sentence {n}.\tVoici la phrase {n}." for n in range(N)]
    made = ingest(
        {"x.tsv": "\n".join([first, *rows, first]).encode()}, modality="text", cleaning={"duplicates": "keep"}
    )
    assert made.profile["rows"] == N + 2
    assert {column["name"] for column in made.profile["columns"]} == {"f0", "f1"}


def test_headers_of_years_and_of_an_index(ingest: Any) -> None:
    years = "country,2019,2020,2021\n" + "".join(f"land {n % 3},{n}.5,{n}.25,{n}.75\n" for n in range(N))
    assert ingest({"x.csv": years.encode()}).column("2020")["plays"] == "features"
    index = ",0,label\n" + "".join(f"{n},{n * n}.5,{'xy'[n % 2]}\n" for n in range(N))
    made = ingest({"x.csv": index.encode()})
    assert made.profile["rows"] == N
    assert made.column("0")["plays"] == "features"


@pytest.mark.parametrize("name", ["Id", "PassengerId", "row_id", "Unnamed: 0", "index", ""])
def test_row_numbers_are_no_features(ingest: Any, name: str) -> None:
    text = f"{name},a,label\n" + "".join(f"{n + 1},{n % 5}.5,{'xy'[n % 2]}\n" for n in range(N))
    made = ingest({"x.csv": text.encode()})
    assert made.profile["input"]["shape"] == [1]
    assert made.profile["duplicates"] == N - 5, "equal rows are found although their numbers differ"
    asked = ingest({"x.csv": text.encode()}, columns={"features": ["a", name]}) if name else made
    assert asked.profile["input"]["shape"] == [2 if name else 1]


@pytest.mark.parametrize(
    "name", ["id", "customer_id", "CustomerID", "Unnamed: 0", "index", "row", "uuid", "Account Id"]
)
def test_ids_in_any_order_are_no_features(ingest: Any, name: str) -> None:
    numbers = [7919 * n % 10_007 for n in range(1, N + 1)]
    text = f"{name},a,label\n" + "".join(f"{numbers[n]},{n % 5}.5,{'xy'[n % 2]}\n" for n in range(N))
    made = ingest({"x.csv": text.encode()})
    assert made.profile["input"]["shape"] == [1]
    assert made.profile["inferred"]["row numbers"].startswith(f"{name!r}: no features")
    repeated = ingest({"x.csv": (text + f"{numbers[0]},1.5,x\n").encode()})
    assert repeated.profile["input"]["shape"] == [2], "rows share it"
    fractions = ingest({"x.csv": text.replace(f"\n{numbers[3]},", f"\n{numbers[3]}.25,").encode()})
    assert fractions.profile["input"]["shape"] == [2], "it measures something"


@pytest.mark.parametrize("name", ["paid", "valid", "grid", "bid", "PAID", "price", "num"])
def test_numbers_of_other_names_are_features_although_they_differ(ingest: Any, name: str) -> None:
    text = f"{name},a,label\n" + "".join(f"{7919 * n % 10_007},{n % 5}.5,{'xy'[n % 2]}\n" for n in range(N))
    assert ingest({"x.csv": text.encode()}).profile["input"]["shape"] == [2]


def test_a_column_that_counts_and_has_another_name_is_a_feature(ingest: Any) -> None:
    text = "day,a,label\n" + "".join(f"{n},{n % 5}.5,{'xy'[n % 2]}\n" for n in range(N))
    assert ingest({"x.csv": text.encode()}).profile["input"]["shape"] == [2]


def test_sentences_with_a_comma_each_are_no_table(ingest: Any) -> None:
    text = "".join(f"This is sentence number {n}, which says something.\n" for n in range(N))
    made = ingest({"x.txt": text.encode()})
    assert (made.profile["modality"], made.profile["rows"]) == ("text", N)
    assert made.read("input")[3] == "This is sentence number 3, which says something."


def test_long_texts_are_no_table_because_the_first_holds_a_semicolon(ingest: Any) -> None:
    rows = [f"Text number {n}{'; it says' if n % 3 == 0 else ''} " + f"word{n} " * 800 for n in range(N)]
    made = ingest({"x.txt": "\n".join(rows).encode()})
    assert (made.profile["modality"], made.profile["rows"]) == ("text", N)


def test_texts_are_no_table_because_the_first_is_longer_than_what_is_looked_at(ingest: Any) -> None:
    """One row has as many cells as itself."""
    rows = ["It began, as they say; long ago. " * 3000, *(f"Text number {n}, and what it says." for n in range(1, N))]
    made = ingest({"x.txt": "\n".join(rows).encode()})
    assert (made.profile["modality"], made.profile["rows"]) == ("text", N)


@pytest.mark.parametrize("header", ["", "  p   q  r\n"])
@pytest.mark.parametrize("name", ["housing.data", "x.txt", "x.csv"])
def test_numbers_between_spaces_are_a_table(ingest: Any, header: str, name: str) -> None:
    rows = "".join(f" {n}.25   {n % 7}\t-{n}e-1 \r\n" for n in range(40))
    made = ingest({name: (header + rows).encode()})
    assert made.profile["modality"] == "vectors"
    assert made.read("input")[:, 0].tolist() == [n + 0.25 for n in range(40)]
    assert [column["name"] for column in made.profile["columns"]] == (["p", "q", "r"] if header else ["f0", "f1", "f2"])
    assert "numbers between spaces" in made.profile["inferred"]["encoding"]


def test_tabs_alone_are_columns_with_empty_cells(ingest: Any) -> None:
    rows = "".join(f"{n}\t{n % 7 if n != 5 else ''}\t1\n" for n in range(40))
    made = ingest({"x.txt": rows.encode()}, cleaning={"non_finite": "impute"})
    assert made.profile["input"]["shape"] == [3]
    assert made.column("f1")["missing"] == 1


def test_numbers_between_spaces_are_text_where_that_is_asked_for(ingest: Any) -> None:
    rows = [f"{n} {n + 1} {n + 2}" for n in range(20)]
    assert ingest({"x.txt": "\n".join(rows).encode()}, format="txt").read("input").tolist() == rows


def test_a_cell_between_spaces_that_is_no_number_is_named(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.ingest.readers.spaced.CHUNK", 7)
    rows = "".join(f"{n} {n % 7} 1\n" for n in range(40)) + "1 what 2\n3 4 5"
    made = ingest({"x.txt": rows.encode()})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [("not_a_number", 41, "f1")]


EXPORTED = "".join(f"{n},5;{n}.500;{'xy'[n % 2]};;;\r\n" for n in range(1, N))
TITLED = "Penguins;;;;;\r\n;;;;;\r\n\r\nAs of 1 March;;;;;\r\n\r\n"


@pytest.mark.parametrize("titles", ["", TITLED, "\r\n\r\n", "# no title\r\n\r\n"])
def test_titles_and_empty_columns_of_a_spreadsheet_are_passed_over(ingest: Any, titles: str) -> None:
    made = ingest({"x.csv": f"{titles}a;b;label;;;\r\n{EXPORTED}".encode()})
    np.testing.assert_array_equal(made.read("input"), [(n + 0.5, 1000 * n + 500) for n in range(1, N)])
    told = made.profile["inferred"]
    assert told["empty columns"] == "x.csv: columns 4, 5, 6 of 6 hold neither name nor value and are passed over"
    passed = "x.csv: 'Penguins', 'As of 1 March' before the header are passed over; header false reads every line"
    assert told.get("header") == (passed if titles == TITLED else None)


def test_a_value_in_a_column_without_a_name_is_a_fault(ingest: Any) -> None:
    rows = [f"{n};{n / 2};" for n in range(300_000)]  # beyond what is looked at to tell the columns
    rows[250_000] += "lost"
    text = "\n".join(["a;b;", *rows]).encode()
    (fault,) = ingest({"x.csv": text}).faults
    assert (fault.row, fault.column, fault.code) == (250_001, "3", "unnamed_column")
    assert "'lost' stands in a column without a name" in fault.message
    assert ingest({"x.csv": text}, on_fault="drop").profile["rows"] == 299_999


@pytest.mark.parametrize(
    "text",
    [
        "a;;;\n" + "".join(f"{n};x{n};{n};y{n}\n" for n in range(N)),  # three names are missing
        "Title;;;\na;;b;c\n" + "".join(f"{n};x{n};{n};y{n}\n" for n in range(N)),
    ],
)
def test_what_may_be_no_title_is_no_title(ingest: Any, text: str) -> None:
    assert ingest({"x.csv": text.encode()}).codes == ["duplicate_column"]


def test_an_index_without_a_name_is_no_title(ingest: Any) -> None:
    made = ingest({"x.csv": (";name\n" + "".join(f"r{n};{'xy'[n % 2]}\n" for n in range(N))).encode()})
    assert "header" not in made.profile.get("inferred", {})


@pytest.mark.parametrize(
    ("day", "use"),
    [
        ("2012/01/{:02}", "which are not used"),
        ("{:02}.11.2007 08:00", "which are not used"),
        ("2012-0{}-01", "each of which is a category of its own"),
    ],
)
def test_dates_are_told_with_what_to_do_about_them(ingest: Any, day: str, use: str) -> None:
    few = "category" in use
    rows = [(day.format(n % 3 + 1 if few else n % 28 + 1), n / 2, "xy"[n % 2]) for n in range(28)]
    text = "day,a,label\n" + "".join(f"{when},{a},{label}\n" for when, a, label in rows)
    told = ingest({"x.csv": text.encode()}).profile["warnings"]
    assert any(one.startswith(f"'day' holds dates like {rows[0][0]!r}, {use}; dates are no numbers") for one in told)
    assert not any("texts of many values" in one for one in told)

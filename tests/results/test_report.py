from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import needs_browser, opened
from ledgers import evidence_in, searches_in, typed

from flyp_sweep.results import make_table
from flyp_sweep.results.report import Run, report
from flyp_sweep.results.report.cell_views import cell_views
from flyp_sweep.results.report.table_views import grid_groups

HOSTILE = '<script>document.title = "hit"</script> [bold]& "quoted"'
SVG = b"<svg>not really</svg>"


class Page(HTMLParser):
    """The ids, links and loaded addresses of a page, and its elements that only a script of ours may be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.loaded += [given["src"]] if "src" in given else []
        self.scripts += tag == "script"


def run_of(records: list, at: int = 0, space: str = "name: run\n") -> Run:
    name = f"run{at}" if at else "run"
    return Run(name, space, tuple(typed(records)), evidence_in(records, f"run{at}"), tuple(searches_in(records)))


def page_of(*runs: list, figures=None, space: str = "name: run\n") -> str:
    made = [run_of(records, at, space) for at, records in enumerate(runs)]
    return report(made, make_table([run.evidence for run in made]), figures or {})


def test_every_link_leads_to_a_place_on_the_page_and_every_number_to_its_trials(example):
    records = example.run()
    page = Page(page_of(records))
    several = Page(page_of(*(example.task("ft", [0.8, 0.81], dataset) for dataset in ("pcam", "caltech101"))))
    for one in (page, several):
        assert len(set(one.ids)) == len(one.ids)
        assert {link.removeprefix("#") for link in one.links} <= set(one.ids)
    repeats = [record["trial_id"] for record in records if record.get("stage") == "repeat"]
    assert all(sum(own.endswith(trial_id) for own in page.ids) == 1 for trial_id in repeats)
    numbers = [link for link in page.links if link.startswith("#r")]
    assert len(numbers) == 3 * 2 * 4 + 3  # three methods, both sides, ID, two OOD sets and their mean; the winners


def test_the_page_loads_nothing_from_elsewhere(example):
    text = page_of(example.run(), figures={"frontier-a": SVG})
    page = Page(text)
    assert [address.partition(",")[0] for address in page.loaded] == ["data:image/svg+xml;base64"]
    assert page.scripts == 1
    assert not re.search(r"https?://|@import|url\(", text)


def test_whatever_stands_in_a_ledger_is_text_on_the_page(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.91, 0.92], dataset=HOSTILE)
    failed = example.failure(trials[2]["cell"], 2, HOSTILE) | {"log": HOSTILE, "notes": [HOSTILE]}
    text = page_of([*trials[:2], failed, selection], space=f"name: {HOSTILE}")
    assert Page(text).scripts == 1
    assert text.count("&lt;script&gt;document.title") >= 5  # table, cell, reason, log, note, space


def test_failures_are_told_with_their_reasons_and_edges_with_their_cells(example):
    records = example.large_run(configs=20)
    failed = example.failure(example.cell("ft"), 77, "CUDA out of memory") | {"log": "Traceback: here"}
    text = page_of([*records, failed | {"config_id": "cx"}])
    assert "CUDA out of memory" in text
    assert "Traceback: here" in text
    assert "the selected lr lies on the upper edge" in text
    assert "(edge)" in text


def test_compute_is_the_sum_over_trials_by_stage(example):
    text = page_of(example.run())
    search, repeat = 3 * 3.1, 7 * 3.1
    assert f"<b>{search:.0f} s</b> in search trials" in text
    assert f"<b>{repeat:.0f} s</b> in repeat trials" in text


def test_hardware_and_packages_are_told_with_how_many_trials(example):
    records = example.run()
    assert "the ledger does not say" in page_of(records)
    machine = {"cpu": "Some CPU", "cores": 4, "threads": 1, "gpu": None}
    told = page_of([record | {"machine": machine} if record["kind"] == "trial" else record for record in records])
    assert "cpu Some CPU, cores 4, threads 1" in told
    assert "gpu" not in told


def test_repeats_stand_in_the_order_of_their_seeds(example):
    first, second, third, selection = example.finished_cell("ft", [0.9, 0.91, 0.92])
    (view,) = cell_views(run_of([third, first, second, selection]), 0)
    assert [row.seed for row in view.repeats] == [0, 1, 2]


def test_a_wide_table_is_cut_at_its_headers_and_each_group_has_a_border(example):
    names = [f"shift_{at}" for at in range(7)]
    values = {"id_test": 0.9} | dict.fromkeys(names, 0.5)
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(2)]
    ((wide,), (narrow,)) = (
        grid_groups(example.table(records), {})[0].grids
        for records in ([*trials, example.selection(trials)], example.finished_cell("ft", [0.9, 0.91]))
    )
    heads = [[head.label for head in panel.headers[0]] for panel in wide.panels]
    assert heads == [["without ensembling", ""], ["with ensembling", ""]]
    (panel,) = narrow.panels
    assert [head.label for head in panel.headers[0]] == ["without ensembling", "with ensembling", ""]
    starts = [at for at, entry in enumerate(panel.rows[0][1]) if entry.starts]
    assert starts == [at for at, head in enumerate(panel.headers[-1]) if head.starts] == [0, 4, 8]


def test_differences_to_the_best_stand_below_each_table(example):
    text = page_of(example.run())
    below = text[text.index("Differences to the best of each column") :]
    assert re.search(r"<td>FT</td><td class=[^>]*><span>-3\.0 \(0\.0\)</span>", below)
    assert "<span>best</span>" in below
    assert "Differences to the best" not in page_of(example.finished_cell("ft", [0.9, 0.91]))


def test_a_run_without_a_finished_trial_has_a_page(example):
    assert "No cells yet" in page_of([])
    assert "no number yet" not in page_of([example.search(example.cell(), "c0")])


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """The report of a run of 2,000 trials, as a file."""
    from ledgers import Example

    records = Example().large_run()
    assert sum(record["kind"] == "trial" for record in records) == 2000
    path = tmp_path_factory.mktemp("large") / "report.html"
    path.write_text(page_of(records), encoding="utf-8")
    return path


@needs_browser
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_number_of_2000_trials_leads_to_the_trials_it_is_the_mean_of(large, scripts):
    with opened(large.as_uri(), java_script_enabled=scripts) as page:
        table = page.locator("table.numbers").first
        link = table.locator("tbody tr", has_text="FLYP").locator("a").first
        shown = float(link.inner_text().split()[0])
        target = page.locator(link.get_attribute("href"))
        assert not target.is_visible()
        link.click()
        target.wait_for(state="visible")
        trials = target.locator("xpath=..").locator("table.trials tbody tr")
        heads = target.locator("xpath=..").locator("table.trials th").all_inner_texts()
        values = [float(row.locator("td").nth(heads.index("ID without")).inner_text()) for row in trials.all()]
        assert len(values) == 10
        assert sum(values) / 10 == pytest.approx(shown, abs=0.06)


@needs_browser
def test_trials_sort_by_any_column(large):
    with opened(large.as_uri()) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        table = page.locator("table.trials", has_text="weight_decay").first
        head = table.locator("th", has_text="score")
        column = table.locator("th").all_inner_texts().index("score")
        read = f"table => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[{column}].textContent))"
        head.click()
        rising = table.evaluate(read)
        assert rising == sorted(rising)
        assert rising[0] < rising[-1]
        head.click()
        assert table.evaluate(read) == rising[::-1]


@needs_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_is_no_wider_than_the_window(large, width):
    with opened(large.as_uri(), width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_links_are_underlined_and_marks_are_not(tmp_path, example, scheme):
    """FLYP is best, FT cannot be told apart from it, Zeroshot can."""
    path = tmp_path / "report.html"
    path.write_text(page_of(example.run()), encoding="utf-8")
    with opened(path.as_uri(), color_scheme=scheme) as page:
        shown = page.evaluate(
            "[...document.querySelectorAll('.numbers td > *')].map(one => [one.tagName, "
            "one.parentElement.classList.contains('level'), getComputedStyle(one).textDecorationLine, "
            "getComputedStyle(one).backgroundColor === 'rgba(0, 0, 0, 0)'])"
        )
    assert {(tag, line) for tag, _, line, _ in shown} == {("A", "underline"), ("SPAN", "none")}
    assert {(level, plain) for _, level, _, plain in shown} == {(True, False), (False, True)}


def test_the_page_opens_with_the_claims_and_has_warnings_before_the_protocol(example):
    failed = example.failure(example.cell("ft"), 77) | {"config_id": "cx"}
    text = page_of([*example.large_run(configs=20), failed], figures={"frontier-a": SVG})
    places = [text.index(f'id="{name}"') for name in ("claims", "figures", "tables", "warnings", "protocol", "failed")]
    assert places == sorted(places)
    assert "n = 10 seeds." in text[places[0] : places[1]]
    assert '<a href="#failed">1 failed trial</a>' in text[places[0] : places[1]]


def test_runs_that_hold_the_same_cell_have_claims_of_their_own(example):
    records = [*example.finished_cell("flyp", [0.9, 0.91, 0.92]), *example.finished_cell("ft", [0.8, 0.82, 0.84])]
    runs = [run_of(records, at) for at in (1, 2)]
    text = report(runs, make_table([run.evidence for run in runs], "ablation"), {})
    assert "<summary>run1: digits, digits-clip</summary>" in text
    assert "<summary>run2: digits, digits-clip</summary>" in text


@needs_browser
def test_tables_wider_than_a_phone_say_that_they_scroll(tmp_path, example):
    path = tmp_path / "report.html"
    path.write_text(page_of(example.run()), encoding="utf-8")

    def hints(width: int) -> list[bool]:
        with opened(path.as_uri(), width=width) as page:
            return page.evaluate(
                "[...document.querySelectorAll('.wide')].filter(one => one.offsetParent).map("
                "one => getComputedStyle(one, '::after').content.includes('scroll'))"
            )

    assert any(hints(400))
    assert not any(hints(1900))


@needs_browser
@pytest.mark.parametrize("names", [7, 20])
def test_no_table_of_numbers_is_wider_than_the_page(tmp_path, example, names):
    values = {"id_test": 0.9} | {f"a_long_shift_{at}": 0.5 for at in range(names)}
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(2)]
    path = tmp_path / "report.html"
    path.write_text(page_of([*trials, example.selection(trials)]), encoding="utf-8")
    with opened(path.as_uri(), width=1280) as page:
        read = "[...document.querySelectorAll('.numbers')].map(one => [one.offsetWidth, one.parentElement.clientWidth])"
        widths = page.evaluate(read)
    assert len(widths) > 1
    assert all(own <= room for own, room in widths), widths

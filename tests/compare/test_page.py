"""The report in a real browser: it draws, sorts, chooses; asks for nothing; what users typed stays text."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiment import __main__ as command_line
from experiment.compare.comparison import compare_runs
from experiment.compare.report import page as report
from experiment.errors import UserError
from experiment.store.find import read_runs
from experiment.store.journal import MetricsJournal, Point
from experiment.store.selection import matching
from tests.compare.test_follow import serving
from tests.support.made_runs import LABELS, made_record, make_run, seeds, with_mistakes

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("plotly", reason="plotly is not installed")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]
EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
FIRST, SECOND = with_mistakes(0, 1, 2, 3, 4), with_mistakes(4, 5)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def write(folder, path) -> Path:
    report.write_report(compare_runs(read_runs(folder)[0]), path)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A report of twelve runs: two settings of five seeds each, two single runs; with odd names."""
    folder = tmp_path_factory.mktemp("report")
    for seed in range(5):
        for width, mean in ((32, 0.90), (64, 0.95)):
            name = f"width {width} seed {seed}"
            make_run(
                folder / "runs", name, mean + 0.002 * seed, layer_1_size=width, seed=seed, run_started=seed
            )
    odd: dict[str, Any] = {"run_tags": [EVIL, "数字"], "optimizer": EVIL, "run_started": 10}
    make_run(folder / "runs", EVIL, 0.8, predicted=FIRST, **odd)
    make_run(folder / "runs", "名 & <b>", 0.85, predicted=SECOND, layer_1_size=8, run_started=11)
    return write(folder / "runs", folder / "report.html")


# What a page is like when it was just opened: opening one for each test would take a second of each.
AS_OPENED = """() => {
    window.location.hash = "";
    for (const [name, value] of [["filter", ""], ["smoothing", "0"]]) byId(name).value = value;
    document.querySelectorAll("details.menu").forEach((menu) => { menu.open = false; });
    document.querySelectorAll(".normalised, #log").forEach((box) => { box.checked = false; });
    byId("by-group").checked = true;
    Object.assign(state, { sort: null, ascending: true, metrics: null, normalised: false });
    state.shown = new Set(everyRun());
    state.columns.clear();
    choosePair();
    settle();
    drawTable();
    drawn.forEach(redraw);
    window.scrollTo(0, 0);
}"""


@pytest.fixture(scope="module")
def tab(browser, written):
    """The report, opened without a network; whatever the page complains of or asks for fails a test."""
    with opened(browser, written) as opened_tab:
        see(opened_tab, "curve-grid")
        yield opened_tab


@pytest.fixture
def page(tab):
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.evaluate(AS_OPENED)
    return tab


@contextlib.contextmanager
def opened(browser, path, **named):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True, **named)
    tab = context.new_page()
    troubles: list[str] = []
    tab.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("request", lambda asked: troubles.append(asked.url) if asked.url.startswith("http") else None)
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert troubles == []


@pytest.fixture(scope="module")
def mixed(browser, tmp_path_factory):
    """A report of runs on two test sets, opened."""
    path = tmp_path_factory.mktemp("mixed") / "mixed.html"
    there: dict[str, Any] = {"test": "0", "dataset": "birds"}
    results = [{"test_ece": 0.02, "test_loss": 0.3, "process_s": 20.0}, {"test_ece": 0.08, "test_loss": 0.1}]
    records = [
        *seeds(0.90, name="adamax", optimizer="adamax", results=results[0]),
        *seeds(0.95, name="adam", optimizer="adam", results=results[1]),
        *seeds(0.99, 2, name="birds", **there, results={"test_ece": 0.01, "process_s": 5.0}),
        made_record(0.5, name="single", **there, results={"test_ece": 0.3}),
    ]
    report.write_report(compare_runs(records), path)
    with opened(browser, path) as tab:
        yield tab


def see(page, chart):
    """Scroll to a chart's section and wait until it is drawn."""
    page.locator(f"section:has(#{chart}) h2").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{chart} .main-svg, #{chart}.main-svg")


def names_shown(page) -> list[str]:
    return page.locator("#run-table tbody td.name b").all_text_contents()


def test_every_chart_is_drawn(page):
    for chart in (
        "group-chart",
        "curve-grid",
        "confusion-a",
        "confusion-d",
        "parallel-chart",
        "importance-chart",
    ):
        see(page, chart)
    assert page.locator("#confusion-a .heatmaplayer image").count() == 1
    assert page.locator("#curve-grid .scatterlayer .trace").count() >= 4


def test_what_users_typed_is_text_everywhere(page):
    see(page, "parallel-chart")
    page.locator("#by-group").uncheck()
    assert page.evaluate("window.hacked") is None
    assert EVIL in names_shown(page)
    assert EVIL in page.locator("#run-table tbody").inner_text()
    assert page.locator("main img, main script").count() == 0
    assert EVIL in page.locator("#curve-legend").inner_text()
    assert page.locator("#curve-grid img, #curve-legend img").count() == 0
    assert "<b>owl</b>" in page.locator("#scores").inner_text()


def titles(page) -> list[str]:
    return page.locator("#curve-grid .gtitle").all_text_contents()


def test_metrics_are_drawn_side_by_side_as_they_are_chosen(page):
    see(page, "curve-grid")
    assert titles(page) == ["val_accuracy", "val_loss"]
    page.click("#curves .menu summary")
    page.locator("#metric-chooser label", has_text="batch_loss").click()
    assert titles(page) == ["val_accuracy", "val_loss", "batch_loss"]
    assert page.locator("#curve-grid .xtitle").all_text_contents() == ["epoch", "epoch", "step"]
    page.keyboard.press("Escape")
    assert not page.locator("#metric-chooser").is_visible()


def test_the_cursor_in_one_chart_is_shown_in_the_others(page):
    see(page, "curve-grid")
    first, second = page.locator("#curve-grid .chart").all()[:2]
    box = first.bounding_box()
    for step in range(2):
        page.mouse.move(box["x"] + 250 + step, box["y"] + 120)
    page.wait_for_selector("#curve-grid .chart:nth-child(2) .hoverlayer .legend")
    seen = [chart.locator(".hoverlayer .legendtitletext").text_content() for chart in (first, second)]
    assert seen[0] == seen[1]
    assert int(seen[0]) in (1, 2, 3)


def test_smoothing_changes_the_chart(page):
    see(page, "curve-grid")
    line = page.locator("#curve-grid .scatterlayer .js-line").last
    before = line.get_attribute("d")
    page.locator("#smoothing").focus()
    page.keyboard.press("End")
    assert line.get_attribute("d") != before


@pytest.mark.parametrize(("last", "step"), [(1, 1), (3, 1), (24, 5), (400, 50)])
def test_epochs_are_whole_numbers(page, last, step):
    axis = page.evaluate(f"epochAxis([{{ x: [1, {last}] }}])")
    assert (axis["dtick"], axis["tickformat"]) == (step, "d")
    see(page, "curve-grid")
    assert page.locator("#curve-grid .xtick text").all_text_contents() == ["1", "2", "3"] * 2


def test_the_table_sorts_by_mouse_and_by_keyboard(page):
    heading = page.locator("#run-table th button", has_text="test_accuracy")
    heading.click()
    assert page.locator("#run-table th[aria-sort=descending]").inner_text() == "test_accuracy"
    assert names_shown(page)[0] == "width 64 seed 4"
    page.keyboard.press("Enter")
    assert page.locator("#run-table th[aria-sort=ascending]").count() == 1
    assert names_shown(page)[:2] == [EVIL, "名 & <b>"]


def test_columns_are_chosen(page):
    heads = page.locator("#run-table thead th")
    before = heads.all_inner_texts()
    assert "status" not in before
    assert "validation" not in before
    page.click("#runs .menu summary")
    for name in ("status", "validation", "seconds"):
        page.locator("#column-chooser label", has_text=name).first.click()
    after = heads.all_inner_texts()
    assert set(after) - set(before) == {"status", "validation"}
    assert set(before) - set(after) == {"seconds"}


def test_the_filter_leaves_what_matches(page):
    page.fill("#filter", "width 64")
    assert len(names_shown(page)) == 5
    assert page.locator("#count").inner_text() == "5 of 12 runs"
    page.fill("#filter", "数字")
    assert names_shown(page) == [EVIL]


# Each is tried in the page and by ``--where``: both must mean the same runs, or refuse both.
EXPRESSIONS = """\
layer-1-size=32
layer_1_size = 32 and seed>=3
test_accuracy>0.94 and not seed=4
seed<1 or seed>3
name~'WIDTH 32'
name!~width
tag:数字
tag!=数字
status=finished
status!=finished
mode=offline
optimizer
not optimizer
started<1970-01-02
started>1970-01-01T00:00:05
age>1h
val_loss=0.3
best_val_loss<=0.2 and epoch=3
(seed=1 or seed=2) and layer-1-size!=32
patience=3
key=1
validation=0.1
dataset=made
note=x
note!=x
commit=abc
seed>=1e0
name='a b'
nothing=3
seed=adam
name>3
status=fnished
age>3
started=soon
seed=1 seed=2
(seed=1
seed=
tag:
seed ! 1
name="
seed=1)
and
=
seed=1 or""".splitlines()


def test_the_filter_means_what_where_means(page, written):
    records = read_runs(written.parent / "runs")[0]
    for expression in EXPRESSIONS:
        try:
            meant = [record.key for record in matching(records, expression)]
        except UserError:
            meant = None
        found = page.evaluate(
            """(text) => {
                try {
                    const matches = compileWhere(text);
                    return data.runs.filter(matches).map((run) => run.key);
                } catch (error) { if (error instanceof Refused) return null; throw error; }
            }""",
            expression,
        )
        assert found == meant, expression


def test_a_wrong_expression_is_told_with_its_place(page):
    page.fill("#filter", "seed=1 and nothing=3")
    said = page.locator("#filter-error").inner_text().splitlines()
    assert said[0].startswith("no column 'nothing': there are key, name, status")
    assert said[2].index("^") == said[1].index("nothing")
    assert len(names_shown(page)) == 12


def test_a_run_that_is_unticked_is_no_longer_drawn(page):
    see(page, "curve-grid")
    page.locator("#by-group").uncheck()
    lines = page.locator("#curve-grid .chart:first-child .scatterlayer .js-line")
    before = lines.count()
    page.locator("#run-table tbody input").first.uncheck()
    assert lines.count() == before - 1


def test_two_runs_are_compared_example_by_example(page):
    see(page, "confusion-a")
    said = page.locator("#pair-note").inner_text()
    assert said == f"Of {len(LABELS)} test examples 1 only A got right, 4 only B; 1 both got wrong."
    assert page.locator("#only-a .mistake").count() == 4
    assert "is cat" in page.locator("#only-a").inner_text()
    page.click("#swap")
    assert page.locator("#only-a .mistake").count() == 1
    row = page.locator("#scores tbody tr").first.locator("td").all_inner_texts()
    assert row[:2] == ["cat", str(int((LABELS == 0).sum()))]


def test_a_cell_of_a_matrix_shows_the_examples_behind_it(page):
    see(page, "confusion-a")
    page.locator("#often-b button", has_text="cat → dog").click()
    title = page.locator("#cell-pair h4").inner_text()
    assert title == "B: true cat, predicted dog: 1 example"
    assert page.locator("#cell-pair .mistake").all_inner_texts() == ["example 4\n70\u00a0% sure"]


def test_a_matrix_is_shown_as_shares_of_the_true_class(page):
    see(page, "confusion-a")
    page.locator("#pair .normalised").check()
    drawn = page.locator("#confusion-b .heatmap-label text").all_text_contents()
    assert {"98", "2.0", "100"} == set(drawn)


def test_a_run_has_a_page_of_its_own(page):
    page.locator("#run-table a", has_text="width 32 seed 3").click()
    assert page.locator("#one h2").inner_text().startswith("width 32 seed 3")
    assert not page.locator("#runs").is_visible()
    assert "0.9060\ntest_accuracy" in page.locator("#one .tiles").inner_text()
    assert "layer-1-size\n32" in page.locator("#one-details").inner_text()
    page.wait_for_selector("#one-curves .main-svg")
    assert page.locator("#one-curves .gtitle").all_text_contents() == [
        "batch_loss",
        "val_accuracy",
        "val_loss",
    ]
    page.click(".back a")
    assert page.locator("#runs").is_visible()
    assert not page.locator("#one").is_visible()


def matrix_of(predicted) -> np.ndarray:
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (LABELS, predicted), 1)
    return counts


def test_a_matrix_shows_every_number_of_whichever_pair_is_chosen(page):
    see(page, "confusion-d")
    runs = {EVIL: matrix_of(FIRST), "名 & <b>": matrix_of(SECOND)}
    values = {name: page.locator("#first option", has_text=name).get_attribute("value") for name in runs}
    for first, second in ([EVIL, "名 & <b>"], ["名 & <b>", EVIL], [EVIL, EVIL], [EVIL, "名 & <b>"]):
        page.select_option("#first", values[first])
        page.select_option("#second", values[second])
        a, b = runs[first], runs[second]
        for chart, matrix in (("confusion-a", a), ("confusion-b", b), ("confusion-d", b - a)):
            sign = "+" if chart == "confusion-d" else ""
            meant = [f"{sign}{value}" if value > 0 else str(value) for value in matrix[matrix != 0]]
            meant += ["0"] * int((np.diag(matrix) == 0).sum())
            drawn = page.locator(f"#{chart} .heatmap-label text").all_text_contents()
            assert sorted(drawn) == sorted(meant), chart


def test_the_best_of_each_test_set_is_bold_whichever_way_is_better(mixed):
    titles = mixed.locator("#run-table thead th").all_inner_texts()
    bold = {
        title: mixed.locator(f"#run-table tbody td:nth-child({place}).best").evaluate_all(
            "all => all.map((each) => `${each.closest('tr').querySelector('b').innerText} ${each.innerText}`)"
        )
        for place, title in enumerate(titles, 1)
    }
    assert {name: cells for name, cells in bold.items() if cells} == {
        "test_accuracy": ["adam 0.9520", "birds 0.9910"],
        "test_ece": ["adamax 0.0200"] * 3 + ["birds 0.0100"] * 2,
        "test_loss": ["adam 0.1000"] * 3,
        "seconds": ["adamax 20.0"] * 3 + ["birds 5"] * 2,
    }


def test_a_difference_from_a_baseline_with_another_test_set_is_not_shown(mixed):
    rows = [row.locator("td").all_inner_texts() for row in mixed.locator("#run-table tbody tr").all()]
    deltas = {row[1]: row[2] for row in rows}
    assert deltas["0.9520"] == "+0.0520"
    assert deltas["0.9910"] == deltas["0.5000"] == ""


def test_answers_are_a_block_a_test_set_and_what_cannot_be_said_is_folded(mixed):
    see(mixed, "group-chart-1")
    answers = mixed.locator("#answers")
    assert answers.locator("h3").all_inner_texts() == ["made, test set ffffffff", "birds, test set 00000000"]
    assert answers.locator(".verdicts li").all_inner_texts() == [
        "adamax ×3 is worse than adam ×3 "
        "(test_accuracy -0.0500, 95 % interval -0.0523 to -0.0477; p = 4.3e-07)"
    ]
    assert "birds ×2" in answers.locator("#group-chart-1").inner_text()
    assert answers.locator("summary").all_inner_texts()[0] == "Cannot say: 5 pairs"
    assert not answers.locator(".undecided li").first.is_visible()


def test_what_was_never_scrolled_to_is_printed_too(page):
    page.pdf()
    for chart in ("curve-grid", "confusion-d", "parallel-chart", "importance-chart"):
        assert page.locator(f"#{chart} .main-svg").count()
    page.evaluate("state.paper = true; drawTable()")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1000, "height": 700})
    assert page.evaluate("document.querySelector('#runs .scroll').scrollWidth") <= 1000
    page.evaluate("state.paper = false; drawTable()")
    page.emulate_media(media="screen")


def test_the_page_opens_on_the_curves_of_the_metric_that_it_ranks_by(browser, tmp_path):
    make_run(tmp_path / "runs", "a")
    make_run(tmp_path / "runs", "b")
    path = tmp_path / "loss.html"
    report.write_report(compare_runs(read_runs(tmp_path / "runs")[0], metric="val_loss"), path)
    with opened(browser, path) as tab:
        see(tab, "curve-grid")
        assert titles(tab)[0] == "val_loss"


def test_a_followed_page_grows_while_its_runs_train(browser, tmp_path):
    make_run(tmp_path, "kept")
    path = make_run(tmp_path, "training", losses=(0.5, 0.2), run_status="running", run_started=1.8e9)
    with serving(tmp_path) as server:
        tab = browser.new_page()
        troubles: list[str] = []
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.goto(server.address)
        see(tab, "curve-grid")
        assert len(tab.evaluate("data.curves.val_loss.lines[1].x")) == 2
        points = [Point("val_loss", 0.1, 30, 3, 1.8e9), Point("val_accuracy", 0.9, 30, 3, 1.8e9)]
        MetricsJournal(path / "metrics.jsonl").append(points)
        make_run(tmp_path, "new & <b>", run_started=1.9e9)
        tab.locator("#run-table b", has_text="new & <b>").wait_for()
        assert len(tab.evaluate("data.curves.val_loss.lines[1].x")) == 3
        assert len(tab.evaluate("document.querySelector('#curve-grid .chart').data")) >= 3
        assert tab.locator("#run-table input:checked").count() == 3
    tab.locator("#live.ended").wait_for()
    tab.close()
    assert troubles == []


def test_light_and_dark_are_a_button_apart(page):
    shade = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(shade)
    page.click("#theme")
    assert page.evaluate(shade) != light
    page.click("#theme")
    assert page.evaluate(shade) == light


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    see(page, "parallel-chart")
    page.wait_for_timeout(500)  # charts follow the window a moment later
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_of_mistakes_come_from_the_data_if_it_is_still_the_same(browser, offline_run, tmp_path):
    path = write(Path(offline_run["run_dir"]).parent, tmp_path / "real.html")
    tab = browser.new_page()
    tab.goto(path.as_uri())
    assert tab.evaluate("Object.values(data.tests)[0].images.shape") == [28, 28, 1]
    tab.close()


def test_one_run_alone_makes_a_report_too(tmp_path, browser):
    make_run(tmp_path / "runs", "alone", run_status="interrupted")
    tab = browser.new_page()
    tab.goto(write(tmp_path / "runs", tmp_path / "one.html").as_uri())
    assert tab.locator("#run-table tbody tr").count() == 1
    assert "did not finish" in tab.locator(".warnings").inner_text()
    tab.close()


def test_without_plotly_the_sentence_says_what_to_install(tmp_path, capsys, monkeypatch):
    make_run(tmp_path / "runs", "a")
    real = report.importlib.util.find_spec
    monkeypatch.setattr(
        report.importlib.util, "find_spec", lambda name: None if name == "plotly" else real(name)
    )
    with pytest.raises(SystemExit) as ended:
        command_line.main(["compare", "--html", "report.html"])
    assert ended.value.code == 2
    assert "--html needs plotly: pip install" in capsys.readouterr().err
    assert not Path("report.html").exists()

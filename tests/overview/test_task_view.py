"""`task_view`: what stays in a notebook, what terminals get, and the widget in a real browser."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from paths import CHROMIUM

import playground_ext
from playground_ext import task_view
from playground_ext.errors import ConfigError
from playground_ext.overview import drawing, widget
from playground_ext.overview.snapshot import Point, Progress, Snapshot

SNAPSHOT = Snapshot(
    "digits",
    "ok",
    (Progress("aggregator", "aggregator", "ok", 2), Progress("alice", "collaborator", "ok", 2)),
    (
        Point("alice", 1, "train/loss", 0.9),
        Point("alice", 2, "train/loss", 0.5),
        Point("aggregator", 1, "test/accuracy", 0.7),
        Point("aggregator", 2, "test/accuracy", 0.8),
    ),
)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """What two parties left of a run; the folder of the first one's results."""
    for party, name in (("aggregator", "test/accuracy"), ("alice", "train/loss")):
        results = tmp_path / "home" / "digits" / party / "run1" / "results"
        results.mkdir(parents=True)
        (results / "metrics.csv").write_text(
            f"time,party,round,name,value\n1,{party},1,{name},0.5\n2,{party},2,{name},0.75\n"
        )
        report = {"role": party, "rounds": 2, "nodes": ["aggregator", "alice"], "round_reports": []}
        (results / "report.json").write_text(json.dumps(report))
        (results.parents[1] / "latest").symlink_to("run1")
        (results.parents[1] / "logs.jsonl").write_text("")
    return tmp_path / "home" / "digits" / "aggregator" / "run1" / "results"


def test_a_terminal_gets_text(finished):
    shown = str(task_view("digits"))

    assert "task digits: ok" in shown
    assert "test/accuracy of aggregator: 0.75 after round 2" in shown
    assert repr(task_view("digits")) == shown


def test_a_result_shows_the_parties_that_lie_beside_it(finished):
    class Result:
        task_id, run, folder = "digits", "run1", finished

    snapshot = task_view(Result()).snapshot

    assert [(party.party, party.state, party.round) for party in snapshot.parties] == [
        ("aggregator", "ok", 2),
        ("alice", "ok", 2),
    ]
    assert snapshot.curves("train/loss") == {"alice": {1: 0.5, 2: 0.75}}


def test_an_unknown_task_is_named():
    with pytest.raises(ConfigError, match="nothing named 'nowhere'"):
        task_view("nowhere")


def test_the_static_view_holds_a_picture_and_a_table_and_no_script():
    shown = drawing.html(SNAPSHOT)

    assert "<table>" in shown
    assert "collaborator" in shown
    data = base64.b64decode(shown.split("base64,")[1].split('"')[0])
    assert data.startswith(b"\x89PNG")
    assert "<script" not in shown


def test_names_cannot_bring_markup_into_the_page():
    evil = Snapshot("<b>", "ok", (Progress("<script>x</script>", "r", "s\x1b[2J", 1),), ())

    shown = drawing.html(evil)

    assert "<script" not in shown
    assert "\x1b" not in shown + drawing.text(evil)


def test_without_anywidget_the_static_view_is_all(monkeypatch):
    widget._widget_class.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "anywidget", None)

    assert widget.make_widget(SNAPSHOT) is None


def executed(code: str, folder: Path) -> list[nbformat.NotebookNode]:
    """The outputs of a notebook with this one cell."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(f"from playground_ext import task_view\n{code}")]
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook.cells[0].outputs


def test_a_notebook_keeps_picture_and_table(finished, tmp_path):
    (output,) = executed("task_view('digits')", tmp_path)

    assert "test/accuracy of aggregator" in output.data["text/plain"]
    assert "data:image/png;base64," in output.data["text/html"]


def test_the_filter_has_no_output_of_its_own_that_would_be_an_error_without_its_kernel(finished, tmp_path):
    pytest.importorskip("anywidget")

    (output,) = executed("task_view('digits', widget=True)", tmp_path)

    assert set(output.data) == {"text/plain", "text/html"}
    assert '<div class="playground-task-' in output.data["text/html"]
    assert "data:image/png;base64," in output.data["text/html"]


LIVE = """
import threading
from unittest.mock import patch
from playground_ext import mock_context, task_view
from playground_ext.scheduler.base import Scheduler

go = threading.Event()
class Waiting(Scheduler):
    def _prepare(self): pass
    def _check_in(self): return {}
    def _play(self):
        for self.current_round in (1, 2):
            with self.session.user_code("waiting", self.current_round):
                self.session.metrics.add(self.current_round, {"test/accuracy": self.current_round / 4})
                seen.wait(30)

seen = threading.Event()
def watch():
    view = task_view("alone", widget=False)
    states = []
    with patch("IPython.display.display", lambda *_, **__: Handle(states)):
        view._ipython_display_()
    threading.Timer(2, seen.set).start()
    print(view.wait(30), *states, sep="\\n--\\n")

class Handle:
    def __init__(self, states): self.states = states
    def update(self, bundle, raw): self.states.append(bundle["text/plain"])

with mock_context(id="me", nodes=["me"], task_id="alone"):
    scheduler = Waiting(max_rounds=2)
    started = threading.Timer(1.5, watch)
    started.start()
    scheduler.run()
started.join(30)
"""


def test_a_task_that_runs_is_followed_to_its_end(parties):
    parties.start("me", LIVE)

    said = parties.finish(60)["me"].out

    assert said.startswith("True\n")
    assert "waiting" in said, "what the party is doing"
    assert said.rstrip().splitlines()[-1].strip() == "test/accuracy of me: 0.5 after round 2"
    assert "task alone: ok" in said.split("--")[-1]


PAGE = """<!doctype html><body><div id="root" class="here"><p id="still">still</p></div><pre id="said"></pre>
<script type="module">
%(source)s
const values = { place: "here", ...%(values)s };
const model = { get: (name) => values[name], on() {}, off() {} };
const el = document.getElementById("root");
const note = (what) => document.getElementById("said").textContent += what + "\\n";
const lines = () => [...el.querySelectorAll("polyline")].filter((line) => line.getAttribute("points"));
const drawn = () => lines().map((line) => line.dataset.party);
const leave = initialize({ model });
note("still view " + (document.getElementById("still").hidden ? "hidden" : "shown"));
note("first " + el.querySelector("select").value + " " + drawn());
el.querySelector("select").value = "train/loss";
el.querySelector("select").dispatchEvent(new Event("change"));
note("second " + el.querySelector("select").value + " " + drawn());
const box = el.querySelector("input[aria-label='show alice']");
box.checked = false;
box.dispatchEvent(new Event("change"));
note("third " + drawn().length + " " + el.querySelectorAll("tr").length + " rows");
el.outerHTML = '<div class="here" id="root"><p id="still">newer</p></div>'; // as when an output is updated
await new Promise((done) => setTimeout(done));
const again = document.getElementById("root");
const checked = again.querySelectorAll("input:checked").length;
note("again " + again.querySelector("select").value + " " + checked + " checked");
leave();
note("left " + again.textContent + (document.getElementById("still").hidden ? " hidden" : ""));
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_widget_filters_by_party_and_metric_in_a_browser(tmp_path):
    source = (Path(playground_ext.__file__).parent / "overview" / "widget.js").read_text("utf-8")
    values = json.dumps({"snapshot": SNAPSHOT.as_json(), "metrics": SNAPSHOT.names})
    page = tmp_path / "page.html"
    page.write_text(PAGE % {"source": source.replace("export default", "const _ ="), "values": values}, "utf-8")

    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
    )

    said = done.stdout.split('<pre id="said">')[1].split("</pre>")[0].splitlines()
    assert said == [
        "still view hidden",
        "first test/accuracy aggregator",
        "second train/loss alice",
        "third 0 3 rows",
        "again train/loss 1 checked",
        "left newer",
    ]

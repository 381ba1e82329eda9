"""From a tile to a trained model: launcher, dialog, notebooks side by side, run all, the panel, failures, reload."""

from __future__ import annotations

import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install playwright)")

from playwright.sync_api import Page, expect

from .conftest import open_lab, set_theme
from .federations import gate, make_federation, serious_findings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SCRIPTS = [Path(__file__).with_name("live_probe.js").read_text("utf-8")]
RUN_TIMEOUT = 150_000  # milliseconds that starting kernels and two short rounds may take on a busy machine


def open_dialog(page: Page, tile: str = "FedAvg on handwritten digits") -> None:
    page.locator(".jp-LauncherCard", has=page.get_by_text(tile, exact=True)).click()
    page.wait_for_function("document.activeElement.id === 'pg-create-name'")


def fill(page: Page, **values: Any) -> None:
    for field, value in values.items():
        page.locator(f"#pg-create-{field}").fill(str(value))


def wait_for_kernels(page: Page, count: int) -> None:
    page.wait_for_function(
        """count => {
          const panels = [...document.querySelectorAll('.jp-NotebookPanel')];
          const idle = [...document.querySelectorAll('.pg-Party-state')].filter(e => /idle/i.test(e.textContent));
          return panels.length === count && idle.length === count;
        }""",
        arg=count,
        timeout=RUN_TIMEOUT,
    )


def notebook(page: Page, name: str) -> Any:
    """The notebook panel of the tab with this label."""
    tab = page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=name).first
    return page.locator(f"#{tab.get_attribute('data-id')}")


def status_of(page: Page, task: str) -> Any:
    return page.locator(f".pg-Task[data-task='{task}'] .pg-Status")


def finished(page: Page, task: str) -> None:
    expect(status_of(page, task)).to_have_text("Finished", timeout=RUN_TIMEOUT)


def show_panel(page: Page) -> None:
    page.evaluate("window.jupyterapp.commands.execute('playground:show-panel')")
    page.wait_for_selector(".pg-Panel")


def test_a_tile_opens_a_dialog_and_then_one_notebook_per_party_that_run_together(page, lab, shot, capsys):
    show_panel(page)
    expect(page.get_by_text("No federation yet.")).to_be_visible()
    category = page.locator(".jp-Launcher-section", has_text="Federations")
    expect(category.locator(".jp-LauncherCard")).to_have_count(len(lab.get("templates")))
    shot("launcher")

    open_dialog(page)
    fill(page, **{"roles-collaborator": 3, "parameters-max_rounds": 3, "parameters-samples": 400})
    shot("dialog")
    assert serious_findings(page, ".pg-CreateDialog") == []
    started = time.monotonic()
    page.get_by_role("button", name="Create and open").click()
    wait_for_kernels(page, 4)
    opened = time.monotonic() - started

    names = ["aggregator", "collaborator-1", "collaborator-2", "collaborator-3"]
    boxes = {name: notebook(page, name).bounding_box() for name in names}
    left, right = boxes["aggregator"], boxes["collaborator-1"]
    assert right["x"] >= left["x"] + left["width"]
    assert boxes["collaborator-2"]["y"] >= left["y"] + left["height"]
    assert boxes["collaborator-3"]["x"] == right["x"]
    widths = [box["width"] for box in boxes.values()]
    heights = [box["height"] for box in boxes.values()]
    assert max(widths) - min(widths) < 5  # pixels
    assert max(heights) - min(heights) < 5
    shot("grid")

    started = time.monotonic()
    notebook(page, "collaborator-1").get_by_role("button", name="Run all parties", exact=True).click()
    page.wait_for_selector(".jp-OutputArea-output")
    first_output = time.monotonic() - started
    page.wait_for_selector(".pg-Party.pg-mod-running")
    shot("running")
    finished(page, "fed_avg")
    expect(page.locator(".pg-Party.pg-mod-finished")).to_have_count(4)
    assert page.locator(".jp-Dialog").count() == 0
    for name in boxes:  # the last cells of both notebooks print what the final model can do
        expect(
            notebook(page, name).locator(".jp-OutputArea-output", has_text=re.compile("right|times")).first
        ).to_be_attached(timeout=RUN_TIMEOUT)
    expect(page.locator(".pg-StatusItem")).to_contain_text("FedAvg on handwritten digits: finished · 4 parties")
    shot("finished")

    delays = panel_delays(page)
    with capsys.disabled():
        print(f"\ndialog to four notebooks with ready kernels: {opened:.1f} s (goal: under 6 s)")
        print(f"run all to first output, warm kernels: {first_output:.1f} s (goal: under 2 s)")
        print(
            f"panel after an event: median {1000 * statistics.median(delays):.0f} ms, worst {1000 * max(delays):.0f} ms"
            f" of {len(delays)} (goal: under 300 ms)"
        )


def panel_delays(page: Page) -> list[float]:
    """Seconds from a party's saying that it is in a new round to the panel's showing it."""
    frames, shown = page.evaluate("[window.__frames, window.__shown]")
    rounds: dict[str, int] = {}
    delays = []
    for frame in frames:
        for party in frame["parties"]:
            name, number = party["party"], party["round"]
            if number is not None and rounds.get(name) != number:
                rounds[name] = number
                text = f"round {number}/"
                seen = [
                    s["at"] for s in shown if s["at"] >= frame["at"] and s["parties"].get(name, "").startswith(text)
                ]
                if seen:
                    delays.append(seen[0] - min(party["last_seen"], frame["at"]))
    assert delays, f"no party changed its round in {len(frames)} frames"
    return delays


def test_the_dialog_names_what_is_wrong_and_keeps_what_was_typed(page, lab, shot):
    (lab.root / "taken").mkdir()
    open_dialog(page, "Private set intersection")
    accept = page.get_by_role("button", name="Create and open")
    fill(page, name="taken")
    expect(page.get_by_text("There is a folder of that name; taken-2 is free.")).to_be_visible()
    expect(accept).to_be_disabled()
    fill(page, name="two words")
    expect(page.get_by_text("Letters, digits, - and _ only")).to_be_visible()
    fill(page, name="psi-1", **{"roles-collaborator": 99})
    expect(page.get_by_text("At most 16.")).to_be_visible()
    expect(page.locator("#pg-create-roles-collaborator")).to_have_attribute("aria-invalid", "true")
    shot("dialog-invalid")
    fill(page, **{"roles-collaborator": 2, "directory": "../elsewhere"})
    accept.click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert page.locator("#pg-create-roles-collaborator").input_value() == "2"
    shot("dialog-refused")
    assert serious_findings(page, ".pg-CreateDialog") == []
    fill(page, directory="")
    expect(accept).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator(".jp-Dialog")).to_have_count(0)


def test_a_party_fails_and_the_jump_lands_in_its_cell(page, lab, run, shot):
    made = make_federation(lab, "failing")
    path = lab.root / "failing" / "collaborator-2.ipynb"
    content = json.loads(path.read_text())
    (cell,) = [cell for cell in content["cells"] if "def train_an_epoch" in "".join(cell["source"])]
    source = "".join(cell["source"])
    cell["source"] = re.sub(
        r"( +)def train_an_epoch\(self\)[^\n]*:\n", r"\g<0>\1    raise ValueError('unreadable digits')\n", source
    )
    path.write_text(json.dumps(content))
    failing = content["cells"].index(cell)

    show_panel(page)
    run("docmanager:open", path=made["parties"][0]["path"])
    page.wait_for_selector(".pg-Task[data-task='failing']")
    page.evaluate("void window.jupyterapp.commands.execute('playground:run-all', {task: 'failing'})")
    row = page.locator(".pg-Party[data-party='collaborator-2']")
    expect(row.locator(".pg-Status")).to_have_text("Failed", timeout=RUN_TIMEOUT)
    expect(row.locator(".pg-Status svg")).to_be_visible()
    expect(row).to_contain_text("ValueError")
    expect(row).to_contain_text("unreadable digits")
    shot("failed")

    row.get_by_role("button", name="Traceback").click()
    expect(page.locator(".pg-Traceback pre")).to_contain_text("ValueError: unreadable digits")
    for dark in (True, False):
        set_theme(page, dark)
        shot(f"traceback-{'dark' if dark else 'light'}")
        assert serious_findings(page, ".pg-TracebackDialog", ".pg-Panel") == []
    page.get_by_role("button", name="Go to cell").last.click()
    panel = notebook(page, "collaborator-2")
    expect(panel).to_be_visible()
    active = panel.locator(".jp-Notebook-cell.jp-mod-active")
    expect(active).to_be_in_viewport()
    expect(active).to_have_attribute("data-windowed-list-index", str(failing))
    shot("go-to-cell")
    run("playground:interrupt-all", task="failing")
    expect(status_of(page, "failing")).not_to_have_text("Running", timeout=RUN_TIMEOUT)


def test_a_reload_in_the_middle_loses_nothing(page, lab, run, shot):
    opened, waiting = gate(lab, "reloaded")
    made = make_federation(lab, "reloaded", collaborators=1, epoch=waiting, max_rounds=3)
    show_panel(page)
    run("docmanager:open", path=made["parties"][0]["path"])
    page.locator(".pg-Task[data-task='reloaded']").click()
    page.evaluate("void window.jupyterapp.commands.execute('playground:run-all', {task: 'reloaded'})")
    expect(page.locator(".pg-Party-round").first).to_contain_text("round 2/3", timeout=RUN_TIMEOUT)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save-all')")
    page.wait_for_timeout(1200)  # Lab saves the layout a second after it changed
    open_lab(page, lab)
    expect(page.locator(".pg-Panel")).to_be_visible()
    expect(page.locator(".jp-NotebookPanel")).to_have_count(2)
    expect(page.locator(".pg-Task.pg-mod-selected")).to_have_attribute("data-task", "reloaded")
    expect(page.locator(".pg-Party")).to_have_count(2)
    expect(status_of(page, "reloaded")).to_have_text("Running")
    toolbar = notebook(page, "aggregator").locator(".jp-NotebookPanel-toolbar")
    expect(toolbar).to_contain_text("Aggregator (Playground)")
    shot("reloaded")
    opened.touch()
    finished(page, "reloaded")


def test_a_background_task_outlives_its_page_is_stopped_resumed_shown_replayed_run_again_and_deleted(
    page, lab, run, shot
):
    opened, waiting = gate(lab, "behind")
    make_federation(lab, "behind", epoch=waiting, max_rounds=3)
    show_panel(page)
    run("docmanager:open", path="behind/aggregator.ipynb")
    notebook(page, "aggregator").get_by_role("button", name="Run in background").click()
    row = page.locator(".pg-Task", has_text="background").first
    expect(row).to_contain_text("round 2/3", timeout=RUN_TIMEOUT)
    task = row.get_attribute("data-task")

    page.goto("about:blank")  # it goes on without the page
    assert lab.get(f"tasks/{task}")["status"] == "running"
    open_lab(page, lab, reset=True)
    show_panel(page)
    expect(status_of(page, task)).to_have_text("Running")
    run("playground:stop", task=task)
    expect(status_of(page, task)).to_have_text(re.compile("Interrupted|Failed|Stopped"), timeout=RUN_TIMEOUT)

    opened.touch()
    run("playground:resume", task=task)
    finished(page, task)
    expect(page.get_by_text("has finished.").last).to_be_visible()
    page.get_by_role("button", name="Show results").last.click()
    results = page.locator(f"#jp-main-dock-panel .lm-TabBar-tab[title*='{task}/collaborator-1']")
    expect(results).to_be_visible()
    assert page.locator(".jp-Dialog").count() == 0
    before = json.loads((lab.root / "behind" / "aggregator.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in before["cells"])  # what is open in the tab was not written to
    shot("background")

    page.locator(f".pg-Task[data-task='{task}']").click()
    page.evaluate("task => void window.jupyterapp.commands.execute('playground:replay', {task})", task)
    page.locator(".jp-Dialog select, .jp-Dialog input[list]").first.wait_for()
    page.get_by_role("button", name="Ok").click()
    page.locator(".jp-Dialog input[type=number]").fill("3")
    shot("replay-dialog")
    page.get_by_role("button", name="Ok").click()
    expect(page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text="replay-aggregator-round-3")).to_be_visible()

    run("playground:rerun", task=task)
    again = page.locator(".pg-Task.pg-mod-selected")
    expect(again).not_to_have_attribute("data-task", task, timeout=RUN_TIMEOUT)
    second = again.get_attribute("data-task")
    run("playground:stop", task=second)
    expect(status_of(page, second)).to_have_text(re.compile("Interrupted|Failed|Stopped"), timeout=RUN_TIMEOUT)

    page.evaluate("task => void window.jupyterapp.commands.execute('playground:delete', {task})", second)
    page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(f".pg-Task[data-task='{second}']")).to_have_count(0)
    assert not (lab.root / "runs" / second).exists()


def test_buttons_for_parties_are_only_on_their_notebooks(page, lab, run):
    (lab.root / "plain.ipynb").write_text(
        json.dumps(
            {
                "cells": [],
                "metadata": {"kernelspec": {"name": "python3", "display_name": "p"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )
    make_federation(lab, "buttons")
    run("docmanager:open", path="plain.ipynb")
    page.wait_for_selector(".jp-NotebookPanel .jp-Toolbar-item[data-jp-item-name='save']")
    run("docmanager:open", path="buttons/aggregator.ipynb")
    panel = notebook(page, "aggregator")
    for name in (
        "Run all parties",
        "Interrupt all parties",
        "Restart all parties",
        "Restart and run all parties",
        "Run in background",
    ):
        expect(panel.get_by_role("button", name=re.compile(f"^{name}( \\(.*\\))?$"))).to_be_visible()
    assert notebook(page, "plain").locator(".pg-PartyButton").count() == 0


def test_no_serious_finding_of_axe_in_either_theme(page, lab, run, shot):
    make_federation(lab, "accessible", collaborators=11)
    show_panel(page)
    run("docmanager:open", path="accessible/aggregator.ipynb")
    page.locator(".pg-Task[data-task='accessible']").click()
    expect(page.locator(".pg-Party")).to_have_count(12)
    expect(page.locator(".pg-Party-state").first).to_have_text("kernel idle")
    for dark in (False, True):
        set_theme(page, dark)
        shot(f"twelve-parties-{'dark' if dark else 'light'}")
        assert serious_findings(page, ".pg-Panel", ".pg-StatusItem", ".jp-Launcher") == []
        page.evaluate("void window.jupyterapp.commands.execute('playground:create')")
        page.wait_for_function("document.activeElement.id === 'pg-create-name'")
        shot(f"dialog-{'dark' if dark else 'light'}")
        assert serious_findings(page, ".pg-CreateDialog") == []
        page.keyboard.press("Escape")
        expect(page.locator(".jp-Dialog")).to_have_count(0)


def test_everything_can_be_reached_with_the_keyboard(page, lab, run):
    page.locator(".jp-LauncherCard", has_text="FedAvg on handwritten digits").focus()
    page.keyboard.press("Control+Shift+c")
    palette = page.locator("#modal-command-palette .lm-CommandPalette-input")
    palette.fill("federations")
    page.wait_for_selector(".lm-CommandPalette-itemLabel >> text=Run All Parties", state="attached")
    labels = set(page.locator(".lm-CommandPalette-itemLabel").all_text_contents())
    assert {
        "Delete Task…",
        "New Federation…",
        "Open Charts",
        "Open Log View",
        "Open Messages",
        "Run All Parties",
        "Run Federation in Background",
        "Stop Task",
    } <= labels
    page.keyboard.press("Escape")

    make_federation(lab, "keys")
    show_panel(page)
    run("docmanager:open", path="keys/aggregator.ipynb")
    page.wait_for_selector(".pg-Task[data-task='keys']")
    page.locator(".pg-Tasks-list").focus()
    page.keyboard.press("Home")
    expect(page.locator(".pg-Task").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(page.locator(".pg-Task").last).to_have_attribute("aria-selected", "true")
    page.locator(".pg-Task[data-task='keys']").click()
    page.locator(".pg-Party-name").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text="collaborator-1")).to_be_visible()

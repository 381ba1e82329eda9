// The table and the curves of a task, filtered by party and metric in the browser. Data is set as text, never as HTML.
//
// It takes the place of the static view, wherever that is shown, as long as the kernel runs. So the notebook that is saved
// holds the static view alone: an output of a widget's own would be an error for whoever opens it later.

const COLOURS = ["#2a7ac0", "#c2410c", "#15803d", "#9455c8", "#b45309", "#0e7f86", "#be3a7a", "#6b7280"];
const WIDTH = 560, HEIGHT = 220, LEFT = 52, BOTTOM = 26, TOP = 10, RIGHT = 10;

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.textContent = text;
  return made;
}

function chart(points, parties) {
  const svg = shape("svg", { width: WIDTH, height: HEIGHT, role: "img", fill: "currentColor", "font-size": 11 });
  if (!points.length) return svg;
  const rounds = points.map((point) => point.round), values = points.map((point) => point.value);
  const [first, last] = [Math.min(...rounds), Math.max(...rounds)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (round) => LEFT + (WIDTH - LEFT - RIGHT) * (last > first ? (round - first) / (last - first) : 0.5);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (high > low ? (high - value) / (high - low) : 0.5);
  svg.append(shape("text", { x: LEFT - 6, y: TOP + 6, "text-anchor": "end" }, high.toPrecision(3)));
  svg.append(shape("text", { x: LEFT - 6, y: HEIGHT - BOTTOM, "text-anchor": "end" }, low.toPrecision(3)));
  svg.append(shape("text", { x: LEFT, y: HEIGHT - 8 }, `round ${first}`));
  svg.append(shape("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, `${last}`));
  parties.forEach((party, index) => {
    const own = points.filter((point) => point.party === party).sort((a, b) => a.round - b.round);
    const path = own.map((point) => `${x(point.round)},${y(point.value)}`).join(" ");
    const colour = COLOURS[index % COLOURS.length];
    svg.append(shape("polyline", { points: path, fill: "none", stroke: colour, "stroke-width": 2, "data-party": party }));
    own.forEach((point) => {
      const dot = shape("circle", { cx: x(point.round), cy: y(point.value), r: 3, fill: colour });
      dot.append(shape("title", {}, `${party}, round ${point.round}: ${point.value}`));
      svg.append(dot);
    });
  });
  return svg;
}

function render({ model, el, filter = { hidden: new Set(), metric: null } }) {
  const hidden = filter.hidden;
  const draw = () => {
    const { task = "", status = "", parties = [], points = [] } = model.get("snapshot");
    const names = parties.map((row) => row.party);
    const metrics = model.get("metrics");
    if (!metrics.includes(filter.metric)) filter.metric = metrics[0] ?? null;

    const table = element("table");
    const head = element("tr");
    ["", "party", "role", "state", "round"].forEach((title) => head.append(element("th", title)));
    table.append(head);
    parties.forEach((row, index) => {
      const line = element("tr");
      const box = element("input", "", { type: "checkbox", "aria-label": `show ${row.party}` });
      box.checked = !hidden.has(row.party);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(row.party);
        else hidden.add(row.party);
        draw();
      });
      const cell = element("td");
      cell.append(box);
      const name = element("td", row.party);
      name.style.color = COLOURS[index % COLOURS.length];
      line.append(cell, name, element("td", row.role), element("td", row.state), element("td", row.round ?? ""));
      table.append(line);
    });

    const choice = element("select", "", { "aria-label": "metric" });
    metrics.forEach((name) => choice.append(element("option", name)));
    choice.value = filter.metric;
    choice.addEventListener("change", () => {
      filter.metric = choice.value;
      draw();
    });
    const shown = points.filter((point) => point.name === filter.metric && !hidden.has(point.party));
    el.replaceChildren(element("b", `${task}: ${status}`), table, choice, chart(shown, names));
  };
  model.on("change:snapshot", draw);
  draw();
  return () => model.off("change:snapshot", draw);
}

function initialize({ model }) {
  const filter = { hidden: new Set(), metric: null }; // outlives the outputs, which are drawn anew
  const places = document.getElementsByClassName(model.get("place"));
  const shown = new Map(); // the place of a static view, and how to give it back
  const take = (place) => {
    const still = [...place.children];
    const el = element("div");
    still.forEach((child) => { child.hidden = true; });
    place.append(el);
    const forget = render({ model, el, filter });
    shown.set(place, () => {
      forget();
      el.remove();
      still.forEach((child) => { child.hidden = false; });
      shown.delete(place);
    });
  };
  const look = () => {
    [...shown].forEach(([place, giveBack]) => { if (!place.isConnected) giveBack(); });
    [...places].forEach((place) => { if (!shown.has(place)) take(place); });
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  return () => {
    observer.disconnect();
    [...shown.values()].forEach((giveBack) => giveBack());
  };
}

export default { initialize };

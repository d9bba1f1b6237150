"use strict";
/* Card of one galaxy, the hover beside the pointer, and the selection with its CSV. */
let opened = -1;

function openCard(row, fly = false) {
  opened = row;
  const card = byId("card");
  card.replaceChildren(made("button", { class: "close", "aria-label": "Close", onclick: closeCard }, "×"), made("h2", {}, ids[row]));
  if (hasImage(row)) card.append(face(row, 2 * page.sheets.size));
  if (teach) card.append(...teach.onCard(row));
  for (const one of chances) {
    const k = one.classes.length, own = one.classes.map((name, code) => [name, one.values[row * k + code] / 255, code]);
    if (own.every(([, chance]) => chance === 0)) continue; // not predicted
    card.append(made("h3", {}, one.name));
    for (const [name, chance, code] of own.sort((a, b) => b[1] - a[1]).slice(0, 6)) {
      const bar = made("i");
      bar.style.cssText = `width:${Math.max(1, 100 * chance)}%;background:rgb(${classColour(code).join(",")})`;
      card.append(made("div", { class: "chance" }, made("span", { title: name }, name), made("span", {}, bar), made("output", {}, `${Math.round(100 * chance)} %`)));
    }
  }
  if (neighbours) {
    const { k, recall } = page.neighbours, rows = [...neighbours.subarray(row * k, (row + 1) * k)];
    card.append(made("h3", {}, recall < 1 ? `Most similar (${Math.round(100 * recall)} % of them found)` : "Most similar"), made("div", { class: "faces" }, ...rows.map((other) => faceButton(other, (r) => openCard(r, true)))));
  }
  const facts = made("dl");
  for (const column of columns) if (shown(column, row) !== "–") facts.append(made("dt", {}, column.name), made("dd", {}, shown(column, row)));
  card.append(facts);
  if (sky && !Number.isNaN(sky[2 * row])) {
    const link = `https://skyserver.sdss.org/dr18/VisualTools/navi?ra=${sky[2 * row]}&dec=${sky[2 * row + 1]}&scale=0.2`;
    card.append(made("h3", {}, "Sky"), made("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, `SDSS Navigate, ${sky[2 * row].toFixed(4)} ${sky[2 * row + 1].toFixed(4)}`));
  }
  card.hidden = false;
  card.scrollTop = 0;
  const { x, y, zoom } = camera, before = unmoved ? unmoved.before : { x, y, zoom };
  makeRoom(row);
  unmoved = fly ? null : { before, after: { x: camera.x, y: camera.y, zoom: camera.zoom } };
  if (fly) { camera.x = placed[2 * row]; camera.y = placed[2 * row + 1]; camera.zoom = Math.max(camera.zoom, 6); }
  redraw();
}

/* The card makes room for the galaxy it describes and the most similar ones: where it would cover one, the map moves.
   When it is closed the map moves back, unless it was moved since. */
let unmoved = null; // cameras before and after the card opened
function makeRoom(row) {
  measure(); // what was at the middle of the map is at the middle of the room that is left
  const described = [row, ...(neighbours ? neighbours.subarray(row * page.neighbours.k, (row + 1) * page.neighbours.k) : [])];
  const covered = (one) => {
    const [x, y] = screenOf(one);
    return x < room.left + EDGE || x > room.left + room.width - EDGE || y < room.top + EDGE || y > room.top + room.height - EDGE;
  };
  if (!described.some((one) => !hidden[one] && covered(one))) return;
  const seen = boundsOf(described.filter((one) => !hidden[one]));
  const most = Math.min((room.width / 2 - 2 * EDGE) / seen.across, (room.height / 2 - 2 * EDGE) / seen.up);
  // neighbours that lie far apart on the map need a wider view
  if (pixels() > most) camera.zoom = Math.max(0.3, (camera.zoom * most) / pixels());
  Object.assign(camera, { x: seen.x, y: seen.y });
}

function closeCard() {
  opened = -1;
  byId("card").hidden = true;
  measure();
  if (unmoved && ["x", "y", "zoom"].every((name) => unmoved.after[name] === camera[name])) Object.assign(camera, unmoved.before);
  unmoved = null;
  byId("overlay").focus({ preventScroll: true });
  redraw();
}

function hoverOver(row, px, py) {
  const box = byId("hover");
  if (box.dataset.row !== String(row)) {
    box.dataset.row = row;
    box.replaceChildren();
    if (row >= 0) {
      if (hasImage(row)) box.append(face(row, 256));
      box.append(made("b", {}, ids[row]));
      for (const column of new Set([columns[coloured], ...columns.slice(0, 2)])) if (column) box.append(made("span", {}, `${column.name}: ${shown(column, row)}`));
    }
    redraw();
  }
  box.hidden = row < 0;
  if (row < 0) return;
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${px + 18 + width > camera.width ? Math.max(4, px - 18 - width) : px + 18}px`;
  box.style.top = `${Math.min(Math.max(4, py - height / 2), Math.max(4, camera.height - height - 6))}px`;
}

/* Rows inside a polygon on screen (even-odd rule). */
function inside(polygon) {
  const rows = [];
  for (let row = 0; row < count; row++) {
    if (hidden[row]) continue;
    const [x, y] = screenOf(row);
    let within = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
    }
    if (within) rows.push(row);
  }
  return rows;
}

function select(rows, add = false) {
  if (!add) chosen.fill(0);
  if (!rows.length && !add) selectionName = "";
  for (const row of rows) chosen[row] = 1;
  restate();
  drawSelection();
}

/* Selections kept under a name, to come back to while the page is open. */
let selectionName = "";
const kept = new Map(); // name → rows
function keepSelection() {
  if (!selectionName) { byId("selection-name").focus(); return; }
  kept.set(selectionName, selected());
  drawKept();
}
function drawKept() {
  byId("kept").replaceChildren(...[...kept].map(([name, rows]) =>
    made("button", { title: `Select ${name} again`, onclick: () => { selectionName = name; select(rows); } }, `${name} · ${rows.length.toLocaleString("en")}`)));
  byId("kept").hidden = !kept.size;
}

const selected = () => ids.map((_, row) => row).filter((row) => chosen[row]);

function drawSelection() {
  const box = byId("selection"), rows = selected();
  box.hidden = !rows.length;
  box.replaceChildren();
  if (!rows.length) return;
  const list = made("ul", {}, ...rows.slice(0, 100).map((row) => made("li", {}, faceButton(row, (r) => openCard(r)))));
  const name = made("input", { id: "selection-name", type: "text", maxlength: "60", placeholder: "name", "aria-label": "Name of the selection", autocomplete: "off", spellcheck: "false" });
  name.value = selectionName;
  name.addEventListener("input", () => { selectionName = name.value.trim(); });
  box.append(
    made("div", { class: "row" }, made("b", {}, `${rows.length.toLocaleString("en")} selected`), made("button", { id: "clear", onclick: () => select([]) }, "Clear")),
    made("div", { class: "row" }, name, made("button", { id: "keep", title: "Keep this selection under its name", onclick: keepSelection }, "Keep")),
    made("div", { class: "row files" }, made("span", { class: "soft" }, "Save"), ...exported.buttons()), list);
  if (rows.length > 100) box.append(made("div", { class: "soft" }, "the first 100 are shown; the CSV holds all"));
}

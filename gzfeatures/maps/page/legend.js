"use strict";
/* Legend: what the colours mean; classes can be switched off, names found, numbers read from a bar. */
let coloured = 0; // column the colours show
const INK = [150, 162, 184];
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const PALETTES = { dark: page.palette.dark.map(rgb), light: page.palette.light.map(rgb) }, HUES = page.palette.dark.length;
const RAMP = page.ramp.map(rgb);
const isLight = () => document.documentElement.classList.contains("light");

const classColour = (code) => (code === NONE ? INK : PALETTES[isLight() ? "light" : "dark"][code % HUES]);
const classShape = (code) => (code === NONE ? 0 : byId("shapes").checked ? code % SHAPES : Math.floor(code / HUES) % SHAPES);

function rampColour(share) {
  const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1), low = Math.min(RAMP.length - 2, Math.floor(at));
  return RAMP[low].map((v, i) => v + (RAMP[low + 1][i] - v) * (at - low));
}

function colourOf(row) {
  const column = columns[coloured];
  if (!column) return INK;
  const value = column.values[row];
  if (column.kind === "class") return classColour(value);
  return Number.isNaN(value) ? INK : rampColour((value - column.range[0]) / (column.range[1] - column.range[0] || 1));
}
const colourText = (row) => `rgb(${colourOf(row).map(Math.round).join(",")})`;

/* 2–98 % of the known values: one outlier does not wash the colours out. */
for (const column of columns)
  if (column.kind === "number") {
    const known = column.values.filter((v) => !Number.isNaN(v)).sort();
    column.missing = count - known.length;
    column.range = known.length ? [known[Math.floor(0.02 * (known.length - 1))], known[Math.ceil(0.98 * (known.length - 1))]] : [0, 1];
    column.within = [-Infinity, Infinity];
  } else column.off = new Set();

function recolour() {
  const column = columns[coloured];
  const alpha = count > 50000 ? 150 : count > 8000 ? 205 : 240;
  for (let row = 0; row < count; row++) {
    const colour = colourOf(row);
    const known = column && (column.kind === "class" ? column.values[row] !== NONE : !Number.isNaN(column.values[row]));
    marks.colours.set([colour[0], colour[1], colour[2], known ? alpha : alpha * 0.5], 4 * row);
    const code = column && column.kind === "class" ? column.values[row] : NONE;
    marks.shapes[row] = classShape(code);
  }
  refilter();
}

function refilter() {
  const column = columns[coloured];
  forgetMedians();
  const shows = !column ? () => true
    : column.kind === "class" ? (row) => !column.off.has(column.values[row])
    : column.within[0] > -Infinity || column.within[1] < Infinity ? (row) => column.values[row] >= column.within[0] && column.values[row] <= column.within[1]
    : () => true;
  for (let row = 0; row < count; row++) hidden[row] = Number.isNaN(flat[3 * row]) || !shows(row) ? 1 : 0;
  restate();
}

/* Highlight: the legend entry under the pointer wins over the selection. */
function restate(only = null) {
  const column = columns[coloured], any = chosen.includes(1);
  for (let row = 0; row < count; row++)
    marks.states[row] = only !== null ? (column.values[row] === only ? 2 : 0) : any ? (chosen[row] ? 2 : 0) : 1;
  uploadMarks();
  redraw();
}

function swatch(code) {
  const canvas = made("canvas", { width: 32, height: 32, "aria-hidden": "true" });
  canvas.style.width = canvas.style.height = "16px";
  const c = canvas.getContext("2d"), kind = classShape(code);
  c.translate(16, 16);
  c.fillStyle = c.strokeStyle = `rgb(${classColour(code).join(",")})`;
  c.lineWidth = 6;
  c.beginPath();
  if (kind === 1) c.rect(-11, -11, 22, 22);
  else if (kind === 2) { c.moveTo(0, -13); c.lineTo(13, 10); c.lineTo(-13, 10); }
  else if (kind === 3) { c.moveTo(0, -14); c.lineTo(14, 0); c.lineTo(0, 14); c.lineTo(-14, 0); }
  else if (kind === 4) { c.rect(-13, -4, 26, 8); c.rect(-4, -13, 8, 26); }
  else c.arc(0, 0, kind === 5 ? 10 : 12, 0, 7);
  kind === 5 ? c.stroke() : c.fill();
  return canvas;
}

function drawLegend() {
  const box = byId("legend"), column = columns[coloured];
  box.replaceChildren();
  if (!column) return;
  if (column.kind === "class") classLegend(box, column);
  else numberLegend(box, column);
}

function classLegend(box, column) {
  const counts = new Map();
  for (const code of column.values) counts.set(code, (counts.get(code) || 0) + 1);
  const codes = [...counts.keys()].sort((a, b) => a - b);
  const entries = made("div", { class: "entries" });
  const update = () => {
    for (const entry of entries.children) entry.setAttribute("aria-pressed", String(!column.off.has(+entry.dataset.code)));
    refilter();
  };
  const all = made("button", { onclick: () => { column.off.clear(); update(); } }, "All");
  const none = made("button", { onclick: () => { column.off = new Set(codes); update(); } }, "None");
  box.append(made("div", { class: "row" }, made("span", { class: "soft" }, "double-click: only this one"), all, none));
  for (const code of codes) {
    const name = code === NONE ? "no label" : column.classes[code];
    const entry = made("button", { class: "entry", "data-code": code, "aria-pressed": String(!column.off.has(code)), title: name }, swatch(code), made("span", {}, name), made("output", {}, counts.get(code).toLocaleString("en")));
    entry.addEventListener("click", () => { column.off.has(code) ? column.off.delete(code) : column.off.add(code); update(); });
    entry.addEventListener("dblclick", () => { column.off = new Set(codes.filter((other) => other !== code)); update(); });
    entry.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && !column.off.has(code)) restate(code); });
    entry.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") restate(); });
    entries.append(entry);
  }
  box.append(entries);
}

function numberLegend(box, column) {
  // as many digits as tell the ends apart, because days from 2451545 to 2451580 have more than three;
  // no more than the numbers hold, because single precision would show 0.1 as 0.100000001490116
  const [low, high] = column.range, size = Math.max(Math.abs(low), Math.abs(high)), most = column.values instanceof Float32Array ? 7 : 15;
  const digits = high > low ? Math.min(most, 3 + Math.max(0, Math.floor(Math.log10(size / (high - low))))) : most;
  const [first, middle, last] = [0, 0.5, 1].map((s) => String(+(low + s * (high - low)).toPrecision(digits)));
  const bar = made("div", { class: "bar", role: "img", "aria-label": `Colour bar from ${first} to ${last}` });
  bar.style.background = `linear-gradient(to right, ${page.ramp.join(",")})`;
  const ends = made("div", { class: "row soft" }, ...[first, middle, last].map((text) => made("span", {}, text)));
  const bounds = ["from", "to"].map((word, end) =>
    made("label", {}, `${word} `, made("input", { type: "search", inputmode: "decimal", "aria-label": `show ${word}`, oninput: (event) => {
      const value = parseFloat(event.target.value);
      column.within[end] = Number.isNaN(value) ? [-Infinity, Infinity][end] : value;
      refilter();
    } })));
  box.append(made("div", { class: "soft" }, column.name), bar, ends, made("div", { class: "row" }, ...bounds));
  if (column.missing) box.append(made("div", { class: "soft" }, `${column.missing.toLocaleString("en")} without a value are grey`));
}

/* Medians of the classes that are switched on, largest first; kept until the legend or the turn changes. */
let medians = null;
function forgetMedians() {
  medians = null;
  for (const level of regions) level.medians = null;
}
function classMedians(column) {
  const members = new Map();
  for (const row of shuffle) {
    const code = column.values[row];
    if (code === NONE || hidden[row]) continue;
    const rows = members.get(code) || members.set(code, []).get(code);
    if (rows.push(row) > 2000) rows.pop();
  }
  const middleOf = (rows, axis) => rows.map((row) => placed[2 * row + axis]).sort((a, b) => a - b)[rows.length >> 1];
  return [...members].sort((a, b) => b[1].length - a[1].length).map(([code, rows]) => ({ code, x: middleOf(rows, 0), y: middleOf(rows, 1) }));
}

/* Names at the medians; one that would cover another is left out. Regions give way to the classes that colours show. */
let namesDrawn = []; // { name, x, y, half } of the last picture
function drawNames(context) {
  const column = columns[coloured];
  namesDrawn = [];
  Object.assign(context, { textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 4 });
  if (byId("names").checked && column && column.kind === "class") {
    medians ??= classMedians(column);
    context.font = "600 13px system-ui, sans-serif";
    for (const median of medians) nameAt(context, median, column.classes[median.code], theme("--ink"));
  }
  if (byId("regions").checked && regions.length) {
    const level = regionLevel();
    level.medians ??= classMedians(level);
    context.font = "italic 12.5px system-ui, sans-serif";
    for (const median of level.medians) nameAt(context, median, level.classes[median.code], theme("--soft"));
  }
}

/* Levels of regions, from far to near: each is shown over one doubling of the zoom and a half. */
const regionLevel = () => regions[Math.min(regions.length - 1, Math.max(0, Math.floor(Math.log2(camera.zoom) / 1.5)))];

function nameAt(context, median, whole, ink) {
  const scale = pixels(), [mx, my] = middle();
  let x = mx + (median.x - camera.x) * scale, y = my - (median.y - camera.y) * scale;
  if (!whole || x < room.left || y < room.top || x > room.left + room.width || y > room.top + room.height) return;
  const lines = linesOf(context, whole, Math.min(190, room.width - 16));
  const half = Math.max(...lines.map((line) => context.measureText(line).width)) / 2 + 4, tall = (LINE * lines.length) / 2 + 1;
  // a whole name inside the room, moved if it would be cut
  x = Math.min(Math.max(x, room.left + half + 4), room.left + room.width - half - 4);
  y = Math.min(Math.max(y, room.top + tall), room.top + room.height - tall);
  if (namesDrawn.some((b) => Math.abs(b.x - x) < b.half + half && Math.abs(b.y - y) < b.tall + tall)) return;
  // neighbours of one name are told once
  if (namesDrawn.some((b) => b.name === whole && Math.hypot(b.x - x, b.y - y) < 180)) return;
  namesDrawn.push({ name: whole, x, y, half, tall });
  lines.forEach((line, number) => {
    const level = y + LINE * (number - (lines.length - 1) / 2);
    context.strokeStyle = theme("--back");
    context.strokeText(line, x, level);
    context.fillStyle = ink;
    context.fillText(line, x, level);
  });
}

/* A whole name in lines that are at most so many pixels wide; a word that is wider itself is broken. */
const LINE = 16;
function linesOf(context, name, width) {
  const lines = [], fits = (text) => context.measureText(text).width <= width;
  let line = "";
  for (const word of name.split(/\s+/)) {
    if (line && fits(`${line} ${word}`)) { line += ` ${word}`; continue; }
    if (line) lines.push(line);
    line = "";
    for (const letter of word) {
      if (line && !fits(line + letter)) { lines.push(line); line = ""; }
      line += letter;
    }
  }
  return line ? [...lines, line] : lines;
}

"use strict";
/* The page's data: plain JSON with base64 arrays; every id and name stays text. */
const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function decoded(text, Kind) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return Kind ? new Kind(bytes.buffer) : bytes;
}

const NONE = 65535; // code of a galaxy without a class
const ids = page.ids;
const count = ids.length;
const flat = decoded(page.coordinates, Float32Array); // x, y, z of each galaxy
const columns = page.columns.map((column) => ({
  ...column,
  values: decoded(column.values, column.kind === "class" ? Uint16Array : column.exact ? Float64Array : Float32Array),
}));
const regions = page.regions.map((level) => ({ ...level, values: decoded(level.values, Uint16Array), medians: null }));
const tiles = page.sheets ? decoded(page.sheets.tiles, Int32Array) : null;
const neighbours = page.neighbours ? decoded(page.neighbours.rows, Uint32Array) : null;
const sky = page.sky ? decoded(page.sky, Float64Array) : null;
const chances = page.probabilities.map((one) => ({ ...one, values: decoded(one.values, Uint8Array) }));
const rowOf = new Map(ids.map((id, row) => [id, row]));

const hidden = new Uint8Array(count); // 1: switched off in the legend
const chosen = new Uint8Array(count); // 1: in the selection

function shown(column, row) {
  const value = column.values[row];
  if (column.kind === "class") return value === NONE ? "–" : column.classes[value];
  if (Number.isNaN(value)) return "–";
  if (Number.isSafeInteger(value)) return String(value); // counts and names of groups keep every digit
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? String(+value.toPrecision(4)) : value === 0 ? "0" : value.toExponential(2);
}

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  element.append(...children); // strings become text nodes, never markup
  return element;
}

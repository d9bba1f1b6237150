"use strict";
/* Camera: what part of the map is on screen. Map units run from −1 to 1. */
const camera = { x: 0, y: 0, zoom: 1, turn: [1, 0, 0, 0, 1, 0, 0, 0, 1], width: 1, height: 1 };
const placed = new Float32Array(2 * count); // each galaxy's x, y after turning the cube

function turned() {
  const t = camera.turn;
  for (let i = 0; i < count; i++) {
    const x = flat[3 * i], y = flat[3 * i + 1], z = flat[3 * i + 2];
    placed[2 * i] = t[0] * x + t[3] * y + t[6] * z;
    placed[2 * i + 1] = t[1] * x + t[4] * y + t[7] * z;
  }
  frameAll();
  forgetMedians();
}

/* Half the width and height of the map, which Fit stretches until they fill the room; a cube fits however it is turned. */
const frame = { x: 0, y: 0, across: 1, up: 1 };
function boundsOf(rows) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const row of rows) {
    const x = placed[2 * row], y = placed[2 * row + 1];
    if (Number.isNaN(x)) continue;
    left = Math.min(left, x); right = Math.max(right, x); low = Math.min(low, y); high = Math.max(high, y);
  }
  if (left > right) return { x: 0, y: 0, across: 1, up: 1 };
  return { x: (left + right) / 2, y: (low + high) / 2, across: Math.max(0.02, (right - left) / 2), up: Math.max(0.02, (high - low) / 2) };
}
function frameAll() {
  if (page.dimensions === 3) return;
  Object.assign(frame, boundsOf(shuffle));
}

function turnBy(across, up) {
  const [ca, sa, cu, su] = [Math.cos(across), Math.sin(across), Math.cos(up), Math.sin(up)];
  const by = [ca, su * sa, -cu * sa, 0, cu, su, sa, -su * ca, cu * ca]; // column by column
  const t = camera.turn, next = new Array(9);
  for (let c = 0; c < 3; c++)
    for (let r = 0; r < 3; r++) next[3 * c + r] = by[r] * t[3 * c] + by[3 + r] * t[3 * c + 1] + by[6 + r] * t[3 * c + 2];
  camera.turn = next;
  pace.moving = true;
  turned();
}

/* The part of the window that neither panel, title, tools nor an open card cover: there the whole map fits. */
let room = { left: 0, width: 1, height: 1, top: 0 };
function measure() {
  camera.width = window.innerWidth;
  camera.height = window.innerHeight;
  const place = (id) => byId(id).getBoundingClientRect(), wide = camera.width > 720;
  const top = document.querySelector("header").getBoundingClientRect().bottom, card = opened >= 0 ? place("card") : null;
  const right = wide ? place("panel").left : camera.width, left = wide && card ? card.right : 0;
  let bottom = place("tools").top;
  if (!wide && card) bottom = card.top;
  else if (!wide && !byId("panel").classList.contains("folded")) bottom = Math.min(bottom, place("panel").top);
  room = { left, width: Math.max(60, right - left), height: Math.max(60, bottom - top), top };
}
/* Screen pixels per map unit: at zoom 1 the whole map fills the room, with a margin for its marks. */
const EDGE = 14;
function pixels() {
  if (page.dimensions === 3) return 0.47 * Math.min(room.width, room.height) * camera.zoom;
  return Math.min((room.width / 2 - EDGE) / frame.across, (room.height / 2 - EDGE) / frame.up) * camera.zoom;
}
const middle = () => [room.left + room.width / 2, room.top + room.height / 2];

function screenOf(row) {
  const scale = pixels(), [mx, my] = middle();
  return [mx + (placed[2 * row] - camera.x) * scale, my - (placed[2 * row + 1] - camera.y) * scale];
}

function zoomAt(px, py, factor) {
  pace.moving = true;
  const before = pixels(), [mx, my] = middle();
  const x = camera.x + (px - mx) / before, y = camera.y - (py - my) / before;
  camera.zoom = Math.min(4000, Math.max(0.3, camera.zoom * factor));
  const scale = pixels();
  camera.x = x - (px - mx) / scale;
  camera.y = y + (py - my) / scale;
}

/* Rows on screen (with a margin in pixels) whose class is switched on. */
function visible(margin = 0) {
  const scale = pixels(), [mx, my] = middle(), rows = [];
  const left = camera.x - (mx + margin) / scale, right = camera.x + (camera.width - mx + margin) / scale;
  const low = camera.y - (camera.height - my + margin) / scale, high = camera.y + (my + margin) / scale;
  for (let i = 0; i < count; i++) {
    const x = placed[2 * i], y = placed[2 * i + 1];
    if (x >= left && x <= right && y >= low && y <= high && !hidden[i]) rows.push(i);
  }
  return rows;
}

function nearestTo(px, py, reach) {
  const scale = pixels(), [mx, my] = middle();
  const x = camera.x + (px - mx) / scale, y = camera.y - (py - my) / scale;
  let best = -1, least = (reach / scale) ** 2;
  for (let i = 0; i < count; i++) {
    if (hidden[i]) continue;
    const d = (placed[2 * i] - x) ** 2 + (placed[2 * i + 1] - y) ** 2;
    if (d < least) { least = d; best = i; }
  }
  return best;
}

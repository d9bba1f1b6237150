"use strict";
/* Images: thumbnails packed in sheets; a sheet is decoded when first looked at, and the oldest is let go. */
const sheets = new Map(); // number → ImageBitmap, or null while it decodes; in order of use
const KEPT = 48;

function sheetOf(number) {
  const known = sheets.get(number);
  if (known !== undefined) {
    if (known) { sheets.delete(number); sheets.set(number, known); }
    return known;
  }
  sheets.set(number, null);
  const data = decoded(byId(`sheet-${number}`).textContent);
  createImageBitmap(new Blob([data], { type: "image/jpeg" })).then((bitmap) => {
    sheets.delete(number);
    sheets.set(number, bitmap);
    for (const [old, image] of sheets) {
      if (sheets.size <= KEPT) break;
      if (image) { image.close(); sheets.delete(old); }
    }
    redraw();
    for (const paint of waiting.splice(0)) paint();
  });
  return null;
}
const waiting = []; // faces on the panel that await their sheet

const hasImage = (row) => tiles !== null && tiles[row] >= 0;

/* Draw a galaxy's thumbnail; false while its sheet is being decoded or when it has none. */
function drawImage(context, row, x, y, side) {
  if (!hasImage(row)) return false;
  const { size, across } = page.sheets, perSheet = across * across;
  const sheet = sheetOf(Math.floor(tiles[row] / perSheet));
  if (!sheet) return false;
  const tile = tiles[row] % perSheet;
  context.drawImage(sheet, (tile % across) * size, Math.floor(tile / across) * size, size, size, x, y, side, side);
  return true;
}

/* A canvas with the galaxy's thumbnail, filled now or when its sheet arrives. */
function face(row, side) {
  const canvas = made("canvas", { width: side, height: side, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const paint = () => { if (!drawImage(context, row, 0, 0, side) && hasImage(row)) waiting.push(paint); };
  paint();
  return canvas;
}

function faceButton(row, open) {
  const button = made("button", { class: "face", title: ids[row], "aria-label": `Galaxy ${ids[row]}`, onclick: () => open(row) });
  button.append(hasImage(row) ? face(row, 96) : ids[row]);
  button.style.borderColor = colourText(row);
  return button;
}

/* Thumbnails in place of points: as many as fit without covering each other, at least `least` pixels wide. */
function drawImages(context, mode) {
  if (!page.sheets || mode === "never") return 0;
  const rows = visible(40);
  const free = Math.sqrt((camera.width * camera.height) / Math.max(1, rows.length));
  const least = mode === "always" ? 44 : 30;
  const side = Math.min(page.sheets.size * 1.25, Math.max(least, free * 0.92));
  if (mode === "auto" && free < 26) return 0;
  const taken = new Set();
  let drawn = 0;
  const key = (x, y) => x * 4096 + y;
  rows.sort((a, b) => marks.states[b] - marks.states[a] || priority[a] - priority[b]);
  for (const row of rows) {
    if (!hasImage(row) || marks.states[row] < 1) continue;
    const [x, y] = screenOf(row), cx = Math.floor((x + 999) / side), cy = Math.floor((y + 999) / side);
    let crowded = false;
    for (let dx = -1; dx <= 1 && !crowded; dx++)
      for (let dy = -1; dy <= 1 && !crowded; dy++) {
        const other = places.get(key(cx + dx, cy + dy));
        crowded = taken.has(key(cx + dx, cy + dy)) && Math.abs(other[0] - x) < side && Math.abs(other[1] - y) < side;
      }
    if (crowded) continue;
    taken.add(key(cx, cy));
    places.set(key(cx, cy), [x, y]);
    const [left, top] = [x - side / 2, y - side / 2];
    context.fillStyle = "#000";
    context.fillRect(left, top, side, side);
    drawImage(context, row, left, top, side);
    context.strokeStyle = colourText(row);
    context.lineWidth = marks.states[row] > 1 ? 3 : 1.5;
    context.strokeRect(left, top, side, side);
    drawn++;
  }
  return drawn;
}
const places = new Map();
const priority = new Uint32Array(count);
shuffle.forEach((row, rank) => { priority[row] = rank; });

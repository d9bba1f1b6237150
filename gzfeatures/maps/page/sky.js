"use strict";
/* Sky: where the galaxies lie, all sky in one drawing (Hammer, equal areas; right ascension grows to the left, with 12 h
   in the centre, where surveys of the northern galactic cap lie), and a selection by box, click or bounds. Drawn in the page, from numbers in the page. */
const skyPanel = page.sky_shown && sky && (() => {
  const canvas = byId("sky-chart"), context = canvas.getContext("2d"), section = byId("sky");
  const places = new Float32Array(2 * count); // in −1 … 1, NaN without a position
  let corner = null, end = null; // of the box that is drawn

  for (let row = 0; row < count; row++) {
    const [x, y] = projected(sky[2 * row], sky[2 * row + 1]);
    places[2 * row] = x;
    places[2 * row + 1] = y;
  }

  function projected(ra, dec) {
    const turned = 180 - (((ra % 360) + 360) % 360); // −180 … 180, from the right border to the left one: 180 is at 0
    const l = (turned * Math.PI) / 180, b = (dec * Math.PI) / 180;
    const z = Math.sqrt(1 + Math.cos(b) * Math.cos(l / 2));
    return [(Math.cos(b) * Math.sin(l / 2)) / z, Math.sin(b) / z];
  }
  const drawnAt = ([x, y]) => [canvas.width / 2 + 0.49 * canvas.width * x, canvas.height / 2 - 0.49 * canvas.height * y];

  function line(from, to, at) {
    context.beginPath();
    for (let i = 0; i <= 60; i++) context.lineTo(...drawnAt(projected(...at(from + ((to - from) * i) / 60))));
    context.stroke();
  }

  function draw() {
    const ratio = Math.min(2, window.devicePixelRatio || 1), width = Math.round(canvas.clientWidth * ratio);
    if (!width) return;
    if (canvas.width !== width) { canvas.width = width; canvas.height = width / 2; }
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.strokeStyle = theme("--line");
    context.lineWidth = ratio;
    for (const dec of [-60, -30, 0, 30, 60]) line(0, 359.999, (one) => [one, dec]);
    for (const ra of [0, 60, 120, 180, 240, 300, 359.999]) line(-90, 90, (one) => [ra, one]);
    const side = Math.max(1.5, Math.min(4, 60 / Math.sqrt(count + 1))) * ratio, any = chosen.includes(1);
    for (let row = 0; row < count; row++) {
      if (hidden[row] || Number.isNaN(places[2 * row])) continue;
      context.globalAlpha = any && !chosen[row] ? 0.2 : 0.85;
      context.fillStyle = colourText(row);
      const [x, y] = drawnAt([places[2 * row], places[2 * row + 1]]);
      context.fillRect(x - side / 2, y - side / 2, side, side);
    }
    context.globalAlpha = 1;
    if (!corner || !end) return;
    context.strokeStyle = theme("--accent");
    context.strokeRect(corner[0], corner[1], end[0] - corner[0], end[1] - corner[1]);
  }

  function pointed(event) {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  function within(a, b) {
    const [left, right] = [a[0], b[0]].sort((p, q) => p - q), [top, bottom] = [a[1], b[1]].sort((p, q) => p - q), rows = [];
    for (let row = 0; row < count; row++) {
      if (hidden[row] || Number.isNaN(places[2 * row])) continue;
      const [x, y] = drawnAt([places[2 * row], places[2 * row + 1]]);
      if (x >= left && x <= right && y >= top && y <= bottom) rows.push(row);
    }
    return rows;
  }

  /* Galaxies between bounds in degrees; right ascension may run through 0: from 350 to 10, −10 to 10, or 350 to 370. */
  function between(fromRa, toRa, fromDec, toDec) {
    const rows = [], turned = (degrees) => ((degrees % 360) + 360) % 360;
    const width = toRa - fromRa >= 360 ? 360 : turned(toRa - fromRa), least = 1e-9; // of rounding
    for (let row = 0; row < count; row++) {
      const [ra, dec] = [sky[2 * row], sky[2 * row + 1]];
      if (hidden[row] || Number.isNaN(ra) || !(dec >= fromDec && dec <= toDec)) continue;
      if (turned(ra - fromRa + least) <= width + 2 * least) rows.push(row);
    }
    return rows;
  }

  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); corner = end = pointed(event); });
  canvas.addEventListener("pointermove", (event) => { if (corner) { end = pointed(event); draw(); } });
  canvas.addEventListener("pointerup", (event) => {
    if (!corner) return;
    const last = pointed(event), moved = Math.hypot(last[0] - corner[0], last[1] - corner[1]) > 6;
    const reach = 6, rows = moved ? within(corner, last) : within([last[0] - reach, last[1] - reach], [last[0] + reach, last[1] + reach]);
    corner = end = null;
    select(rows, event.shiftKey);
  });
  byId("sky-bounds").addEventListener("submit", (event) => {
    event.preventDefault();
    const [fromRa, toRa, fromDec, toDec] = ["ra-from", "ra-to", "dec-from", "dec-to"].map((id, i) => (byId(id).value.trim() === "" ? [0, 360, -90, 90][i] : +byId(id).value));
    select(between(fromRa, toRa, fromDec, toDec));
  });
  section.hidden = false;
  return { draw, between };
})();

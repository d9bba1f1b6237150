"use strict";
/* Hand: pointer, touch and keys. One finger or the mouse acts with the tool in hand; two fingers move and zoom. */
let tool = "pan";
const fingers = new Map();
let trail = null; // polygon being drawn, or null
let press = null; // where the pointer went down

function takeTool(name) {
  tool = name;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  byId("overlay").classList.toggle("choosing", name === "box" || name === "lasso");
}

function openHand(surface) {
  const at = (event) => [event.clientX, event.clientY];
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    press = fingers.size === 1 ? { at: at(event), moved: false, add: event.shiftKey } : null;
    const acting = event.shiftKey && tool === "pan" ? "lasso" : tool;
    trail = press && (acting === "box" || acting === "lasso") ? { kind: acting, points: [at(event)] } : null;
    surface.classList.add("dragging");
    hoverOver(-1);
  });
  surface.addEventListener("pointermove", (event) => {
    const now = at(event), before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "mouse") return;
      const row = nearestTo(...now, 6 + pointSide() / 2 + (imagesDrawn ? page.sheets.size / 3 : 0));
      surface.classList.toggle("over", row >= 0);
      hoverOver(row, ...now);
      return;
    }
    if (press && Math.hypot(now[0] - press.at[0], now[1] - press.at[1]) > 4) press.moved = true;
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    if (others.length) {
      trail = null;
      const [ox, oy] = others[0], grown = Math.hypot(now[0] - ox, now[1] - oy) / Math.max(1, Math.hypot(before[0] - ox, before[1] - oy));
      zoomAt((now[0] + ox) / 2, (now[1] + oy) / 2, grown);
      shift((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else if (trail) trail.points.push(now);
    else if (tool === "turn") turnBy((now[0] - before[0]) / 150, (now[1] - before[1]) / 150);
    else shift(now[0] - before[0], now[1] - before[1]);
    fingers.set(event.pointerId, now);
    redraw();
  });
  const lift = (event) => {
    fingers.delete(event.pointerId);
    if (!fingers.size) surface.classList.remove("dragging");
    if (event.type === "pointerup" && press && !press.moved) {
      const row = nearestTo(...press.at, (event.pointerType === "mouse" ? 8 : 22) + pointSide() / 2);
      if (row >= 0) openCard(row);
      else if (chosen.includes(1)) select([]);
    } else if (event.type === "pointerup" && trail && trail.points.length > 1) {
      const first = trail.points[0], last = trail.points.at(-1);
      const polygon = trail.kind === "box" ? [first, [last[0], first[1]], last, [first[0], last[1]]] : trail.points;
      select(inside(polygon), press.add && tool !== "pan");
      byId("notice").textContent = `${selected().length.toLocaleString("en")} galaxies selected`;
      setTimeout(() => { byId("notice").textContent = ""; }, 2500);
    }
    trail = press = null;
    redraw();
  };
  surface.addEventListener("pointerup", lift);
  surface.addEventListener("pointercancel", lift);
  surface.addEventListener("pointerleave", () => hoverOver(-1));
  surface.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(...at(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)));
    redraw();
  }, { passive: false });
  surface.addEventListener("dblclick", (event) => { zoomAt(...at(event), 2); redraw(); });
}

function shift(dx, dy) {
  pace.moving = true;
  camera.x -= dx / pixels();
  camera.y += dy / pixels();
}

/* Show all galaxies that the legend leaves switched on, as large as the room allows. */
function fit() {
  measure();
  const rows = page.dimensions === 3 ? [] : ids.map((_, row) => row).filter((row) => !hidden[row]);
  const seen = rows.length ? boundsOf(rows) : frame;
  Object.assign(camera, { x: seen.x, y: seen.y, zoom: 1 });
  camera.zoom = Math.min(4000, Math.min((room.width / 2 - EDGE) / seen.across, (room.height / 2 - EDGE) / seen.up) / pixels());
  if (page.dimensions === 3) camera.zoom = 1;
  redraw();
}

const KEYS = {
  ArrowLeft: () => shift(60, 0), ArrowRight: () => shift(-60, 0), ArrowUp: () => shift(0, 60), ArrowDown: () => shift(0, -60),
  "+": () => zoomAt(...middle(), 1.3), "=": () => zoomAt(...middle(), 1.3), "-": () => zoomAt(...middle(), 1 / 1.3), 0: fit,
  m: () => takeTool("pan"), b: () => takeTool("box"), l: () => takeTool("lasso"), r: () => page.dimensions === 3 && takeTool("turn"),
  "/": () => byId("search").focus(),
  Enter: () => { const row = nearestTo(...middle(), 1e9); if (row >= 0) openCard(row); },
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { if (opened >= 0) closeCard(); else select([]); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || (event.target.closest("input, select, button, a") && event.key !== "/")) return;
  if (event.target.matches("input")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
  redraw();
});

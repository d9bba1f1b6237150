"use strict";
/* Map: put the parts together and draw, only when something changed. */
const points = byId("points"), overlay = byId("overlay"), over = overlay.getContext("2d");
let imagesDrawn = 0, asked = false;
const density = page.density ? densityImage() : null;

function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame((now) => { asked = false; keepPace(now); draw(); });
}

function draw() {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  measure();
  for (const canvas of [points, overlay]) {
    const width = Math.round(camera.width * ratio), height = Math.round(camera.height * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  }
  drawMarks(ratio);
  over.setTransform(ratio, 0, 0, ratio, 0, 0);
  over.clearRect(0, 0, camera.width, camera.height);
  if (density) drawDensity();
  over.imageSmoothingQuality = "high";
  imagesDrawn = drawImages(over, byId("images").value);
  drawNames(over);
  for (const [row, colour] of [[+byId("hover").dataset.row, "--accent"], [opened, "--ink"]]) if (row >= 0) ring(row, colour);
  if (trail) outline();
  if (skyPanel) skyPanel.draw();
}

const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

function ring(row, colour) {
  const [x, y] = screenOf(row);
  over.strokeStyle = theme(colour);
  over.lineWidth = 2;
  over.beginPath();
  over.arc(x, y, pointSide() / 2 + 5, 0, 7);
  over.stroke();
}

function outline() {
  const [first, last] = [trail.points[0], trail.points.at(-1)];
  over.beginPath();
  if (trail.kind === "box") over.rect(first[0], first[1], last[0] - first[0], last[1] - first[1]);
  else for (const [x, y] of trail.points) over.lineTo(x, y);
  over.strokeStyle = theme("--accent");
  over.fillStyle = "#7cc4ff22";
  over.lineWidth = 1.5;
  over.setLineDash([5, 4]);
  over.fill();
  over.stroke();
  over.setLineDash([]);
}

/* How many of all galaxies lie where: under the sample that is drawn as points. */
function densityImage() {
  const { side } = page.density, values = decoded(page.density.values);
  const canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d"), image = context.createImageData(side, side);
  values.forEach((value, i) => image.data.set([112, 150, 210, value], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

function drawDensity() {
  if (page.dimensions === 3) return;
  const scale = pixels(), [mx, my] = middle();
  over.globalCompositeOperation = "destination-over";
  over.globalAlpha = Math.min(1, 6 / camera.zoom);
  over.drawImage(density, mx + (-1 - camera.x) * scale, my - (1 - camera.y) * scale, 2 * scale, 2 * scale);
  over.globalAlpha = 1;
  over.globalCompositeOperation = "source-over";
}

function search(text) {
  const list = byId("found"), wanted = text.trim().toLowerCase();
  const rows = wanted ? ids.flatMap((id, row) => (id.toLowerCase().includes(wanted) ? [row] : [])) : [];
  rows.sort((a, b) => ids[a].length - ids[b].length);
  list.replaceChildren(...rows.slice(0, 20).map((row) => made("li", {}, made("button", { onclick: () => go(row) }, ids[row]))));
  if (wanted && !rows.length) list.append(made("li", { class: "soft" }, page.total > count ? "not among the galaxies drawn" : "no such galaxy"));
  list.hidden = !wanted;
  return rows;
}

function go(row) {
  byId("found").hidden = true;
  openCard(row, true);
}

function facts() {
  const percent = (value) => value.toFixed(3), words = [`${page.total.toLocaleString("en")} galaxies`];
  if (page.total > count) words.push(`${count.toLocaleString("en")} drawn over the density of all`);
  if ("trustworthiness" in page.quality) words.push(`trustworthiness ${percent(page.quality.trustworthiness)}`);
  if ("knn_preservation" in page.quality) words.push(`neighbours kept ${percent(page.quality.knn_preservation)}`);
  if (page.settings.supervised) words.push("supervised: its labels shaped this map");
  if (page.sheets && page.sheets.missing) words.push(`${page.sheets.missing.toLocaleString("en")} without an image`);
  return [page.settings.backbone && `UMAP of ${page.settings.backbone}`, ...words].filter(Boolean).join(" · ");
}

byId("facts").textContent = facts();
byId("images-switch").hidden = !page.sheets;
document.querySelector("[data-tool=turn]").hidden = page.dimensions !== 3;
columns.forEach((column, i) => byId("colour").append(made("option", { value: i }, column.name)));
byId("colour").closest("label").hidden = !columns.length;
byId("colour").addEventListener("change", (event) => { coloured = +event.target.value; recolour(); drawLegend(); });
byId("search").addEventListener("input", (event) => search(event.target.value));
byId("search").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const rows = search(event.target.value), exact = rowOf.get(event.target.value.trim());
  if (exact !== undefined || rows.length) go(exact ?? rows[0]);
});
byId("images").addEventListener("change", redraw);
byId("names").addEventListener("change", redraw);
byId("regions").addEventListener("change", redraw);
byId("regions").closest("label").hidden = !regions.length;
byId("shapes").addEventListener("change", () => { recolour(); drawLegend(); });
byId("size").addEventListener("input", (event) => { marks.size = +event.target.value; redraw(); });
byId("light").addEventListener("change", (event) => { document.documentElement.classList.toggle("light", event.target.checked); recolour(); drawLegend(); });
byId("closer").addEventListener("click", () => { zoomAt(...middle(), 1.5); redraw(); });
byId("farther").addEventListener("click", () => { zoomAt(...middle(), 1 / 1.5); redraw(); });
byId("fit").addEventListener("click", fit);
byId("fold").addEventListener("click", (event) => {
  const folded = byId("panel").classList.toggle("folded");
  event.target.setAttribute("aria-expanded", String(!folded));
  redraw();
});
for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => takeTool(button.dataset.tool));
window.addEventListener("resize", redraw);
if (window.innerWidth <= 720) byId("panel").classList.add("folded");

measure();
turned();
openMarks(points);
openHand(overlay);
recolour();
drawLegend();
draw();
if (teach) teach.begin();
document.body.dataset.drawn = String(Math.round(performance.now())); // ms from opening the file to the first picture

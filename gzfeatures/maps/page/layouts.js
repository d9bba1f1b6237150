"use strict";
/* Layouts: other places of the same galaxies; the points glide from one to another. */
const layouts = [{ name: page.settings.backbone || "this map", places: flat.slice() }, ...page.layouts.map((one) => ({ name: one.name, places: decoded(one.places, Float32Array) }))];
let gliding = 0; // number of the glide under way: a later one ends it

function glideTo(layout) {
  const from = flat.slice(), to = layout.places, began = performance.now(), glide = ++gliding;
  const lasts = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 700;
  const step = () => {
    if (glide !== gliding) return;
    const done = lasts ? Math.min(1, (performance.now() - began) / lasts) : 1, eased = done * done * (3 - 2 * done);
    for (let i = 0; i < flat.length; i++) flat[i] = done === 1 || Number.isNaN(from[i]) ? to[i] : from[i] + (to[i] - from[i]) * eased;
    if (marks.gl) twgl.setAttribInfoBufferFromArray(marks.gl, marks.buffers.attribs.place, flat);
    turned();
    if (done < 1) requestAnimationFrame(step);
    else refilter();
    redraw();
  };
  step();
}

layouts.forEach((one, i) => byId("layout").append(made("option", { value: i }, one.name)));
byId("layout").closest("label").hidden = layouts.length < 2;
byId("layout").addEventListener("change", (event) => glideTo(layouts[+event.target.value]));

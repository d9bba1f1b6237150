"use strict";
/* Marks: every galaxy as a point, drawn by WebGL 2 through twgl. */
const SHAPES = 6; // circle, square, triangle, diamond, plus, ring
const VERTEX = `#version 300 es
in vec3 place; in vec4 colour; in float shape; in float state;
uniform mat3 turn; uniform vec2 centre; uniform vec2 scale; uniform vec2 shift; uniform float size;
out vec4 tint; flat out int kind; out float side;
void main() {
  vec3 p = turn * place;
  gl_Position = vec4((p.xy - centre) * scale + shift, 0.0, 1.0);
  side = size * (state > 1.5 ? 1.7 : state < 0.5 ? 0.85 : 1.0);
  gl_PointSize = side + 1.0;
  tint = colour; kind = int(shape + 0.5);
  if (state < 0.5) tint.a *= 0.16;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 tint; flat in int kind; in float side; out vec4 paint;
uniform vec3 rim;
float edge(vec2 p) { // signed distance in units of the half side, below 0 inside
  if (kind == 0) return length(p) - 0.95;
  vec2 a = abs(p);
  if (kind == 1) return max(a.x, a.y) - 0.82;
  if (kind == 2) return max(a.x * 0.866 + p.y * 0.5, -p.y) - 0.5;
  if (kind == 3) return (a.x + a.y) * 0.7071 - 0.72;
  if (kind == 4) return max(min(a.x, a.y) - 0.3, max(a.x, a.y) - 0.95);
  if (kind == 5) return abs(length(p) - 0.68) - 0.26;
  return length(p) - 0.95;
}
void main() {
  vec2 p = (gl_PointCoord * 2.0 - 1.0) * (side + 1.0) / side * vec2(1.0, -1.0);
  float d = edge(p) * side * 0.5;
  float cover = clamp(0.5 - d, 0.0, 1.0);
  if (cover <= 0.0) discard;
  float inner = side > 9.0 ? clamp(0.5 - (d + 1.0), 0.0, 1.0) : 1.0;
  paint = vec4(mix(rim, tint.rgb, inner) , 1.0) * (tint.a * cover);
}`;

const marks = { gl: null, colours: new Uint8Array(4 * count), shapes: new Float32Array(count), states: new Float32Array(count).fill(1), size: 1, drawn: 0 };

function openMarks(canvas) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: false });
  if (!gl) { byId("notice").textContent = "This browser has no WebGL 2: points cannot be drawn."; return; }
  marks.gl = gl;
  marks.program = twgl.createProgramInfo(gl, [VERTEX, FRAGMENT]);
  marks.buffers = twgl.createBufferInfoFromArrays(gl, {
    place: { numComponents: 3, data: flat },
    colour: { numComponents: 4, data: marks.colours, normalize: true, drawType: gl.DYNAMIC_DRAW },
    shape: { numComponents: 1, data: marks.shapes, drawType: gl.DYNAMIC_DRAW },
    state: { numComponents: 1, data: marks.states, drawType: gl.DYNAMIC_DRAW },
    indices: { numComponents: 1, data: new Uint32Array(Math.max(1, count)), drawType: gl.DYNAMIC_DRAW },
  });
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => { openMarks(canvas); uploadMarks(); redraw(); });
}

/* A fixed shuffle decides who lies on top, so that no class always covers another. */
const shuffle = Uint32Array.from({ length: count }, (_, i) => i);
for (let i = count - 1, seed = 1; i > 0; i--) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  const j = seed % (i + 1);
  [shuffle[i], shuffle[j]] = [shuffle[j], shuffle[i]];
}

function uploadMarks() {
  const gl = marks.gl;
  if (!gl) return;
  const order = [[], [], []]; // dimmed, plain, picked: in this order, so that what matters lies on top
  for (const row of shuffle) if (!hidden[row]) order[marks.states[row]].push(row);
  const indices = Uint32Array.from(order.flat());
  marks.drawn = indices.length;
  const { colour, shape, state } = marks.buffers.attribs;
  twgl.setAttribInfoBufferFromArray(gl, colour, marks.colours);
  twgl.setAttribInfoBufferFromArray(gl, shape, marks.shapes);
  twgl.setAttribInfoBufferFromArray(gl, state, marks.states);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, marks.buffers.indices);
  gl.bufferSubData(gl.ELEMENT_ARRAY_BUFFER, 0, indices);
}

/* Side of a point: a third of the distance that as many points, spread over the room, would have from one another. */
const pointSide = () => {
  const shown = Math.max(1, marks.drawn || count);
  const crowd = Math.min(9, Math.max(2.2, 0.3 * Math.sqrt((room.width * room.height) / shown)));
  return Math.min(20, crowd * marks.size * camera.zoom ** 0.32);
};

function drawMarks(ratio) {
  const gl = marks.gl;
  if (!gl) return;
  const scale = pixels(), [mx, my] = middle();
  gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
  if (!marks.drawn) return;
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  gl.useProgram(marks.program.program);
  twgl.setBuffersAndAttributes(gl, marks.program, marks.buffers);
  twgl.setUniforms(marks.program, {
    turn: camera.turn, centre: [camera.x, camera.y],
    scale: [(2 * scale) / camera.width, (2 * scale) / camera.height],
    shift: [(2 * mx) / camera.width - 1, 1 - (2 * my) / camera.height],
    size: pointSide() * ratio, rim: isLight() ? [1, 1, 1] : [0.04, 0.05, 0.08],
  });
  const most = Math.min(marks.drawn, pace.moving ? pace.most : Infinity);
  twgl.drawBufferInfo(gl, marks.buffers, gl.POINTS, most, 4 * (marks.drawn - most));
}

/* While the map moves on a slow machine, only as many points are drawn as keep 25 frames a second: the last of the
   shuffled order, a fair sample with what is picked. All are drawn once it rests. */
const pace = { most: Infinity, moving: false, moved: false, last: 0, rest: 0 };
function keepPace(now) {
  const took = now - pace.last;
  pace.last = now;
  if (pace.moving && pace.moved) {
    const drawn = Math.min(marks.drawn, pace.most);
    if (took > 45) pace.most = Math.max(2000, Math.floor(drawn * Math.max(0.25, 40 / took)));
    else if (took < 36 && pace.most < marks.drawn) pace.most = Math.ceil(drawn * 1.1);
  }
  pace.moved = pace.moving;
  clearTimeout(pace.rest); // rest is when no input came for some frames, however long they take
  if (pace.moving) pace.rest = setTimeout(() => { pace.moving = false; redraw(); }, Math.max(160, Math.min(2500, 2.5 * took)));
}

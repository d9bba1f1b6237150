/* Widget: shows the page of a teaching session in a frame below a notebook cell. The page comes from the kernel in parts,
   by custom messages, which no notebook stores; the state of the widget holds ids and labels only. The frame has an origin
   of its own: it reaches neither the notebook nor the network, only the port that it is handed here. */
const WINDOW = 3300, ROOM = 2.4e6; // a Jupyter server drops what exceeds 3 MB in 3 s
const AGAIN = 20000, SILENCE = 5000, HEIGHT = "720px";

/* Requests of one view; several views of a widget hear each other's answers. */
function requests(model) {
  const view = crypto.getRandomValues(new Uint32Array(2)).join("-"), open = new Map();
  let number = 0;
  function hear(message, buffers) {
    const act = open.get(message?.request);
    if (!act) return;
    open.delete(message.request);
    act(message, buffers);
  }
  model.on("msg:custom", hear);
  function ask(what, content) {
    return new Promise((resolve, reject) => {
      const request = `${view}-${++number}`;
      open.set(request, (message, buffers) => (message.error ? reject(new Error(message.error)) : resolve([message.answer, buffers])));
      model.send({ request, what, content });
    });
  }
  return { ask, close: () => { model.off("msg:custom", hear); open.clear(); } };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/* A part of the page, asked for again where it got lost. */
async function part(ask, index) {
  for (let wait = AGAIN; ; wait *= 2) {
    const got = await Promise.race([ask("page", { part: index }), pause(wait)]);
    if (got) return got;
  }
}

async function wholePage(ask, tell) {
  const parts = [], read = []; // read: [time, bytes] of the last parts
  for (let index = 0, count = 1; index < count; index++) {
    const [answer, [buffer]] = await part(ask, index);
    const bytes = new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
    parts.push(bytes);
    count = answer.parts;
    tell(parts.length, count);
    read.push([performance.now(), bytes.length]);
    const full = () => read.filter(([time]) => performance.now() - time < WINDOW).reduce((sum, [, size]) => sum + size, bytes.length) > ROOM;
    while (index + 1 < count && full()) await pause(100);
  }
  return new Response(new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/* Answer what the page in the frame asks, over a port that only it has. */
function connect(frame, ask) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = async ({ data: [number, what, content] }) => {
    try { port1.postMessage([number, (await ask(what, content))[0], ""]); } catch (error) { port1.postMessage([number, null, error.message]); }
  };
  frame.contentWindow.postMessage("port", "*", [port2]);
  return port1;
}

/* What the saved notebook knows, as text. */
function told(model) {
  const labels = Object.entries(model.get("answers")), words = `${labels.length.toLocaleString("en")} labels are in ${model.get("file")}`;
  return [words, labels.slice(0, 200).map(([id, label]) => `${id}: ${label}`).join("\n")];
}

function render({ model, el }) {
  const { ask, close } = requests(model), frame = document.createElement("iframe"), line = document.createElement("p"), list = document.createElement("pre");
  let port = null, gone = false;
  line.setAttribute("role", "status");
  [line.textContent] = told(model);
  const silent = setTimeout(() => {
    const [words, labels] = told(model);
    line.textContent = `${words}; the kernel does not answer: run this cell (again) to go on labelling.`;
    list.textContent = labels;
  }, SILENCE);
  el.append(line, list);
  frame.title = "Teach: map of galaxies";
  frame.setAttribute("sandbox", "allow-scripts allow-downloads allow-forms");
  frame.setAttribute("allow", "fullscreen");
  frame.style.cssText = `width: 100%; height: ${HEIGHT}; border: 0; display: block`;
  const tell = (read, count) => {
    clearTimeout(silent);
    list.textContent = "";
    line.textContent = count > 1 ? `${told(model)[0]}; reading the page: ${Math.round(100 * read / count)} %` : "";
  };
  wholePage(ask, tell).then((html) => {
    if (gone) return;
    frame.addEventListener("load", () => { port?.close(); port = connect(frame, ask); });
    frame.srcdoc = html;
    el.replaceChildren(frame);
  }, (error) => { line.textContent = error.message; });
  return () => { gone = true; clearTimeout(silent); port?.close(); close(); };
}

export default { render };

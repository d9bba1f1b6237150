"use strict";
/* Teach: classes given by key or button, a head that learns from them at once, and a queue of questions. */
const teach = page.teaching && (() => {
  const EVERY = 5, ENOUGH = 20;
  const { width, words } = page.teaching;
  const halves = decoded(page.teaching.vectors, Uint16Array);
  const vectors = Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  });
  const turns = decoded(page.teaching.turns, Uint32Array), ranks = decoded(page.teaching.ranks, Uint32Array), typical = decoded(page.teaching.typical, Uint32Array);
  const table = { vectors, width, ranks, typical };
  const classes = []; // names in the order of their keys
  const undone = [], done = []; // changes as [row, before, after]
  const aside = new Set(); // rows that were set aside at some time: undone, redone or labelled again, none ever trains
  let head = null; // { classes, p, k }, or null with fewer than two classes
  let round = { number: 0, rows: [] }; // questions of this round: [row, reason]
  let view = "ask", wanted = "", active = false, milliseconds = 0;

  const pointwise = (a, b) => { // order of code points, as Python has it
    const [x, y] = [[...a], [...b]];
    for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i].codePointAt(0) - y[i].codePointAt(0);
    return x.length - y.length;
  };
  const rowsOf = (...reasons) => [...answers.all].filter(([, one]) => one.label && reasons.includes(one.asked)).map(([row]) => row).sort((a, b) => a - b);
  const training = () => rowsOf("queue", "user");

  /* Colours that follow what was taught; they join the others at the first label. */
  const mine = { name: "my labels", kind: "class", classes, values: new Uint16Array(count).fill(NONE), off: new Set() };
  const said = { name: "taught class", kind: "class", classes, values: new Uint16Array(count).fill(NONE), off: new Set() };
  const chance = { name: "taught probability", kind: "number", values: new Float32Array(count).fill(NaN), range: [0, 1], missing: 0, within: [-Infinity, Infinity] };
  const doubt = { name: "taught entropy", kind: "number", values: new Float32Array(count).fill(NaN), range: [0, 1], missing: 0, within: [-Infinity, Infinity] };
  function activate() {
    if (active) return;
    active = true;
    for (const column of [mine, said, chance, doubt]) {
      columns.push(column);
      byId("colour").append(made("option", { value: columns.length - 1 }, column.name));
    }
    byId("colour").closest("label").hidden = false;
    colourBy(mine);
  }
  function colourBy(column) {
    coloured = columns.indexOf(column);
    byId("colour").value = String(coloured);
  }

  function refit() {
    const began = performance.now(), rows = training();
    const known = [...new Set(rows.map((row) => answers.all.get(row).label))].sort(pointwise);
    for (const [, one] of answers.all) if (one.label && !classes.includes(one.label)) classes.push(one.label);
    mine.values.fill(NONE);
    for (const [row, one] of answers.all) if (one.asked === "random") aside.add(row);
    for (const [row, one] of answers.all) if (one.label) mine.values[row] = classes.indexOf(one.label);
    head = null;
    if (known.length > 1) {
      const codes = rows.map((row) => known.indexOf(answers.all.get(row).label)), k = known.length;
      const p = logistic.probabilities(vectors, width, count, logistic.fitted(vectors, width, rows, codes, k));
      head = { classes: known, p, k };
    }
    paintColumns();
    milliseconds = performance.now() - began;
  }

  function paintColumns() {
    if (!head) { said.values.fill(NONE); chance.values.fill(NaN); doubt.values.fill(NaN); return; }
    const { classes: known, p, k } = head;
    if (!known.includes(wanted)) wanted = known[0];
    const places = known.map((name) => classes.indexOf(name)), column = known.indexOf(wanted);
    chance.name = `taught probability: ${wanted}`;
    for (let row = 0; row < count; row++) {
      let top = 0;
      for (let c = 1; c < k; c++) if (p[row * k + c] > p[row * k + top]) top = c;
      said.values[row] = places[top];
      chance.values[row] = p[row * k + column];
      doubt.values[row] = queue.entropy(p, k, row);
    }
    const option = byId("colour").options[columns.indexOf(chance)];
    if (option) option.textContent = chance.name;
  }

  /* First galaxy of the random order that is not set aside. */
  const drawn = () => turns.find((row) => answers.all.get(row)?.asked !== "random");

  function newRound() {
    const next = drawn(), free = [];
    for (let row = 0; row < count; row++) if (!answers.all.has(row) && row !== next) free.push(row);
    const labelled = training(), given = head ? head.classes.map((name) => labelled.filter((row) => answers.all.get(row).label === name).length) : [];
    const rows = queue.questions(table, head, labelled, rowsOf("random", "queue", "user").length, given.indexOf(Math.min(...given)), free, EVERY - 1);
    round.rows = rows.map((row) => [row, "queue"]);
    if (next !== undefined && !answers.all.has(next)) round.rows.push([next, "random"]);
    round.next = next;
  }

  /* At the end of a round its drawn galaxy is set aside, also if it had been labelled before. */
  async function endRound() {
    const one = answers.all.get(round.next);
    if (one && one.asked !== "random") { aside.add(round.next); await answers.keep([[round.next, { ...one, asked: "random" }]]); refit(); }
    round = { number: round.number + 1, rows: [] };
    newRound();
  }
  const open = () => round.rows.filter(([row]) => !answers.all.has(row));
  const reasonOf = (row) => answers.all.get(row)?.asked ?? round.rows.find(([one]) => one === row)?.[1] ?? "user";

  async function change(wished) {
    const changes = wished.map(([row, before, after]) => [row, before, after && aside.has(row) ? { ...after, asked: "random" } : after]);
    const problem = await answers.keep(changes.map(([row, , after]) => [row, after]));
    if (problem) notify(problem, true);
    if (problem && page.teaching.server) return false;
    activate();
    refit();
    // questions that nobody has answered yet make way for better ones
    if (round.rows.length && !open().length) await endRound();
    else if (!round.rows.length || round.rows.every(([row]) => !answers.all.has(row))) newRound();
    show();
    return true;
  }

  const author = () => byId("who").value.trim();
  async function label(rows, name) {
    if (!rows.length) return notify("Select galaxies, or open one, to give them a class.");
    const when = new Date().toISOString().replace(/\.\d+Z$/, "Z"), who = author();
    const changes = rows.map((row) => {
      const before = answers.all.get(row) ?? null;
      return [row, before, { label: name, asked: reasonOf(row), round: round.number, who, when }];
    });
    if (!(await change(changes))) return;
    done.push(changes);
    undone.length = 0;
    if (!answers.refused) notify(`${rows.length === 1 ? ids[rows[0]] : `${rows.length.toLocaleString("en")} galaxies`}: ${name || "passed over"}`);
  }

  async function move(from, to, back) {
    const changes = from.pop();
    if (!changes) return notify(back ? "nothing to undo" : "nothing to redo");
    if (await change(back ? changes.map(([row, before, after]) => [row, after, before]) : changes)) to.push(changes);
    else from.push(changes);
  }
  const undo = () => move(done, undone, true), redo = () => move(undone, done, false);

  /* Galaxies that a key labels: the open one, else the selected ones. */
  const target = () => (opened >= 0 ? [opened] : selected());
  async function give(name) {
    const rows = target(), asking = rows.length === 1 && open().some(([row]) => row === rows[0]);
    await label(rows, name);
    if (asking) ask();
    else if (opened >= 0) openCard(opened);
  }

  function ask() {
    const rest = open();
    if (!rest.length) return notify("no galaxy is left to ask about");
    view = "ask";
    openCard(rest[0][0], true);
    show();
  }

  function named(text) {
    const name = text.trim().normalize("NFC");
    const folded = (one) => one.normalize("NFKC").toLowerCase().split(/\s+/).join(" ");
    if (!name) return "";
    const like = classes.find((one) => folded(one) === folded(name));
    if (like) return like;
    if (name.includes("|") || /[\u0000-\u001f]/.test(name)) return notify("A class name holds neither | nor line breaks.") ?? "";
    if (words.includes(name.toLowerCase())) return notify(`“${name}” would be read as no answer: give the class another name.`) ?? "";
    return name;
  }
  async function addClass() {
    const name = named(byId("class-name").value);
    if (!name) return;
    if (!classes.includes(name)) classes.push(name);
    byId("class-name").value = "";
    if (target().length) await give(name);
    show();
  }

  let fading = 0;
  function notify(text, stays = false) {
    byId("notice").textContent = text;
    clearTimeout(fading);
    if (!stays) fading = setTimeout(() => { byId("notice").textContent = answers.refused; }, 2500);
  }

  /* Wilson's interval of 90 %. */
  function share(hits, n) {
    const z2 = 1.6448536269514722 ** 2, p = hits / n, middle = p + z2 / (2 * n), reach = Math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)));
    const percent = (one) => Math.round(100 * Math.min(1, Math.max(0, one)));
    return `${percent(p)} % (${percent((middle - reach) / (1 + z2 / n))}–${percent((middle + reach) / (1 + z2 / n))})`;
  }
  function measured() {
    const rows = rowsOf("random");
    if (rows.length < ENOUGH || !head) return [`${rows.length} set aside at random: too few to measure anything (${ENOUGH})`];
    const right = rows.filter((row) => classes[said.values[row]] === answers.all.get(row).label).length;
    const lines = [`${rows.length} set aside at random: accuracy ${share(right, rows.length)}`];
    for (const name of classes) lines.push(`${name}: ${share(rows.filter((row) => answers.all.get(row).label === name).length, rows.length)} of the galaxies`);
    return lines;
  }

  function classButtons() {
    const numbers = new Map(classes.map((name) => [name, 0]));
    for (const [, one] of answers.all) if (one.label) numbers.set(one.label, numbers.get(one.label) + 1);
    return classes.map((name, i) => made("button", { class: "give", title: i < 9 ? `key ${i + 1}` : name, onclick: () => give(name) },
      swatch(i), made("span", {}, i < 9 ? `${i + 1} ${name}` : name), made("output", {}, numbers.get(name).toLocaleString("en"))));
  }

  function listed() {
    const free = [];
    if (view === "ask") return open().map(([row]) => row);
    if (!head) return [];
    if (view === "certain") {
      for (let row = 0; row < count; row++) if (!answers.all.has(row)) free.push(row);
      return queue.certain(table, head.p, head.k, head.classes.indexOf(wanted), free, 15);
    }
    const rows = training();
    return queue.disputed(table, head.p, head.k, rows, rows.map((row) => head.classes.indexOf(answers.all.get(row).label)), 15);
  }

  const VIEWS = { ask: "Ask", certain: "Certain", disputed: "Disputed" };
  function show() {
    const rows = listed(), tabs = Object.entries(VIEWS).map(([name, words]) => made("button", { "aria-pressed": String(view === name), "data-view": name, onclick: () => { view = name; if (name === "ask") ask(); show(); } }, words));
    byId("classes").replaceChildren(...classButtons());
    byId("views").replaceChildren(...tabs);
    byId("asked").replaceChildren(...rows.map((row) => made("li", {}, faceButton(row, (one) => openCard(one, true)))));
    byId("of-class").hidden = !head;
    byId("of").replaceChildren(...(head ? head.classes.map((name) => made("option", { value: name }, name)) : []));
    if (head) byId("of").value = wanted;
    const texts = active ? measured() : ["Open or select galaxies and give them a class; with two classes the map learns."];
    byId("taught").replaceChildren(...texts.map((text) => made("div", {}, text)));
    for (const name of ["undo", "redo"]) byId(name).disabled = !(name === "undo" ? done : undone).length;
    byId("labels-csv").disabled = !answers.all.size;
    if (columns[coloured]) { recolour(); drawLegend(); }
    document.body.dataset.refit = String(milliseconds);
  }

  /* Labels as `gzfeatures fit --labels` reads them. */
  function labelsCsv() {
    const lines = [...answers.all].sort((a, b) => a[0] - b[0]).map(([row, one]) => [ids[row], one.label, one.who, one.when, String(one.round), one.asked]);
    return [["galaxy_id", "label", "who", "when", "round", "asked"], ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  }
  function save(name, text) {
    const link = made("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /* Buttons on the card of a galaxy, which on a phone covers the panel. */
  function onCard(row) {
    const one = answers.all.get(row), asked = open().find(([each]) => each === row);
    const buttons = classes.slice(0, 9).map((name, i) => made("button", { "aria-pressed": String(one?.label === name), onclick: () => give(name) }, `${i + 1} ${name}`));
    if (asked) buttons.push(made("button", { onclick: () => give("") }, "Pass (X)"));
    return buttons.length ? [made("div", { class: "gives", role: "group", "aria-label": "Class of this galaxy" }, ...buttons)] : [];
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input:not([type=checkbox]):not([type=range]), select, textarea")) return;
    const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
    let act = null;
    if (control && key === "z") act = event.shiftKey ? redo : undo;
    else if (control && key === "y") act = redo;
    else if (control || event.altKey) return;
    else if (/^[1-9]$/.test(key) && classes[+key - 1] !== undefined) act = () => give(classes[+key - 1]);
    else if (key === "u") act = event.shiftKey ? redo : undo;
    else if (key === "n") act = ask;
    else if (key === "x" && opened >= 0 && open().some(([row]) => row === opened)) act = () => give("");
    else if (key === "c") act = () => byId("class-name").focus();
    if (!act) return;
    event.preventDefault();
    act();
  });

  function begin() {
    byId("teach").hidden = false;
    classes.push(...page.teaching.classes);
    byId("undo").addEventListener("click", undo);
    byId("redo").addEventListener("click", redo);
    byId("add-class").addEventListener("click", addClass);
    byId("class-name").addEventListener("keydown", (event) => {
      if (event.key === "Enter") { addClass(); byId("overlay").focus({ preventScroll: true }); }
    });
    byId("of").addEventListener("change", (event) => { wanted = event.target.value; paintColumns(); show(); });
    byId("labels-csv").addEventListener("click", () => save("labels.csv", labelsCsv()));
    byId("who").value = page.teaching.who;
    answers.changed = () => resume(round.rows.some(([row]) => answers.all.has(row)));
    for (const name of page.teaching.server?.heads ?? []) byId("head").append(made("option", { value: name }, name));
    byId("heads").hidden = !page.teaching.server;
    byId("fit-head").addEventListener("click", fitHead);
    resume(false);
  }

  /* Go on from the answers that are there, with new questions unless some of the old ones have been answered. */
  function resume(midway) {
    let last = -1;
    for (const [, one] of answers.all) last = Math.max(last, one.round);
    if (answers.all.size) { activate(); refit(); }
    if (!midway) { round.number = last + 1; newRound(); }
    show();
  }

  /* Heads of the program that serves the page: slower and better than the page's own; their colours join the others. */
  async function fitHead() {
    const name = byId("head").value;
    notify(`fitting ${name} …`, true);
    let fitted;
    try { fitted = await served.fit(name); } catch (error) { return notify(error.message, true); }
    for (const one of fitted.classes) if (!classes.includes(one)) classes.push(one);
    const column = columns.find((one) => one.name === name) ?? { name, kind: "class", classes, values: new Uint16Array(count), off: new Set() };
    fitted.probabilities.forEach((p, row) => { column.values[row] = classes.indexOf(fitted.classes[p.indexOf(Math.max(...p))]); });
    if (!columns.includes(column)) {
      columns.push(column);
      byId("colour").append(made("option", { value: columns.length - 1 }, name));
    }
    colourBy(column);
    show();
    notify(`${name} fitted in ${fitted.seconds.toFixed(1)} s`);
  }
  return { begin, label, undo, redo, ask, onCard, labelsCsv, classes, vectors, questions: () => round.rows.map(([row, reason]) => [row, reason]), probabilities: () => head && head.p, refit };
})();

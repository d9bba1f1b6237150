"use strict";
/* Answers: what the reader said of each galaxy, kept in the browser under the digest of the table, a key to a galaxy, so
   that tabs of one page do not overwrite each other. A click counts once it is kept; where it cannot be, that is said. */
const answers = (() => {
  const all = new Map(); // row → { label, asked, round, who, when }
  if (!page.teaching) return { all, keep: async () => "", changed: () => {} };
  const prefix = `gzfeatures ${page.teaching.digest} `, { server } = page.teaching;
  let changed = () => {}, refused = "";

  function readAll() {
    all.clear();
    if (server) {
      served.state().then((known) => {
        for (const { id, ...one } of known) if (rowOf.has(id)) all.set(rowOf.get(id), one);
        if (all.size) changed();
      }, (error) => { byId("notice").textContent = `labels cannot be read: ${error.message}`; });
      return;
    }
    try {
      for (let i = 0; i < localStorage.length; i++) readOne(localStorage.key(i), null);
    } catch (error) { /* said at the first click */ }
  }

  /* What another program put under one of these keys is not trusted. */
  function readOne(key, text) {
    if (!key.startsWith(prefix)) return false;
    const row = +key.slice(prefix.length);
    if (!Number.isInteger(row) || row < 0 || row >= count) return false;
    try {
      const one = JSON.parse(text ?? localStorage.getItem(key));
      const { label, asked, round, who, when } = one;
      if ([label, asked, who, when].some((each) => typeof each !== "string") || !Number.isInteger(round) || !["random", "queue", "user"].includes(asked)) return false;
      all.set(row, { label, asked, round, who, when });
    } catch (error) { return false; }
    return true;
  }

  window.addEventListener("storage", (event) => {
    if (server || event.storageArea !== localStorage) return;
    if (event.key === null) readAll();
    else if (event.newValue === null) { if (event.key.startsWith(prefix)) all.delete(+event.key.slice(prefix.length)); }
    else if (!readOne(event.key, event.newValue)) return;
    changed();
  });

  function written(changes) {
    for (const [row, one] of changes)
      if (one) localStorage.setItem(prefix + row, JSON.stringify(one));
      else localStorage.removeItem(prefix + row);
  }

  /* Keep changes, pairs of a row and its answer or null; returns what went wrong, or "". */
  async function keep(changes) {
    let problem = "";
    try {
      if (server) await served.keep(changes);
      else written(changes);
    } catch (error) {
      if (server) return `not saved, so not counted: ${error.message}`;
      const full = error.name === "QuotaExceededError";
      problem = `This browser does not keep labels (its storage is ${full ? "full" : "forbidden"}): they are in this tab only. Export them before you close it.`;
    }
    for (const [row, one] of changes) if (one) all.set(row, one); else all.delete(row);
    refused = problem || refused;
    return problem;
  }

  readAll();
  return { all, keep, get refused() { return refused; }, set changed(act) { changed = act; } };
})();

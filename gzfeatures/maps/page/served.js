"use strict";
/* Served: answers go to the program that shows the page; only a page that a program shows has this script. A served page
   sends requests to its server; a page in a frame (a notebook) sends them to the page around it, over a port handed to it. */
const served = (() => {
  const { token, framed } = page.teaching.server, PATIENCE = 3000;

  async function fetched(what, content) {
    const answer = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json", "X-Gzfeatures-Token": token }, body: JSON.stringify(content) });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
    return answer.json();
  }

  const open = new Map(); // number of a request → what to do with its answer
  let number = 0;
  const handed = framed && new Promise((resolve) => window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.ports.length !== 1) return;
    const [port] = event.ports;
    port.onmessage = ({ data: [one, answer, problem] }) => {
      const { resolve: give, reject } = open.get(one) ?? {};
      open.delete(one);
      if (problem) reject?.(new Error(problem)); else give?.(answer);
    };
    resolve(port);
  }));
  async function posted(what, content) {
    const port = await handed, one = ++number;
    // a kernel that runs another cell answers after it
    let waited = false;
    const late = setTimeout(() => { waited = true; byId("notice").textContent = "The kernel is busy or gone; what you say counts once it has answered."; }, PATIENCE);
    try {
      return await new Promise((resolve, reject) => { open.set(one, { resolve, reject }); port.postMessage([one, what, content]); });
    } finally {
      clearTimeout(late);
      if (waited) byId("notice").textContent = "";
    }
  }

  const asked = framed ? posted : fetched;
  const keep = (changes) => asked("answers", { answers: changes.map(([row, one]) => ({ id: ids[row], ...(one || { label: null }) })) });
  const state = async () => (await asked("state", {})).answers;
  const fit = (head) => asked("fit", { head });
  const selection = (how, rows) => asked("selection", { how, ids: rows.map((row) => ids[row]) });
  return { keep, state, fit, selection };
})();

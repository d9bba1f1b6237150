"use strict";
/* Served: answers go to the program that shows the page; only a page that it serves has this script. */
const served = (() => {
  const { token } = page.teaching.server;

  async function asked(what, content) {
    const answer = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json", "X-Gzfeatures-Token": token }, body: JSON.stringify(content) });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
    return answer.json();
  }
  const keep = (changes) => asked("answers", { answers: changes.map(([row, one]) => ({ id: ids[row], ...(one || { label: null }) })) });
  const state = async () => (await asked("state", {})).answers;
  const fit = (head) => asked("fit", { head });
  const selection = (how, rows) => asked("selection", { how, ids: rows.map((row) => ids[row]) });
  return { keep, state, fit, selection };
})();

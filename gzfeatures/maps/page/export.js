"use strict";
/* Export: the selection as files that catalogs and other programs join by id; ids stay the texts they are. */

/* RFC 4180. */
const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

const exported = (() => {
  const number = (value) => (Number.isNaN(value) ? "" : String(value));
  /* A number of single precision as the shortest decimal that means it: 0.1, not 0.10000000149011612. */
  const short = (value) => {
    for (let digits = 6; digits < 9; digits++) if (Math.fround(+value.toPrecision(digits)) === value) return number(+value.toPrecision(digits));
    return number(+value.toPrecision(9));
  };
  const located = sky ? (row) => [sky[2 * row], sky[2 * row + 1]] : () => [];

  /* Columns of the files: name, whether numbers, value of a row as text. */
  function fields() {
    const named = selectionName;
    const own = new Set(["galaxy_id", "x", "y", "selection", ...(sky ? ["ra", "dec"] : [])]);
    const others = columns.filter((column) => !own.has(column.name)).map((column) =>
      column.kind === "class"
        ? { name: column.name, text: (row) => (column.values[row] === NONE ? "" : column.classes[column.values[row]]) }
        : { name: column.name, numbers: true, text: (row) => (column.values instanceof Float32Array ? short : number)(column.values[row]) });
    return [
      { name: "galaxy_id", text: (row) => ids[row], ucd: "meta.id;meta.main" },
      ...(sky ? ["ra", "dec"].map((name, i) => ({ name, numbers: true, unit: "deg", ucd: `pos.eq.${name};meta.main`, text: (row) => number(located(row)[i]) })) : []),
      ...["x", "y"].map((name, axis) => ({ name, numbers: true, text: (row) => String(flat[3 * row + axis] * page.unit + page.centre[axis]) })),
      ...(named ? [{ name: "selection", text: () => named }] : []),
      ...others,
    ];
  }

  function csv(rows) {
    const all = fields(), lines = rows.map((row) => all.map((field) => field.text(row)));
    return [all.map((field) => field.name), ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  /* VOTable 1.4 (IVOA); what XML cannot hold becomes a replacement mark in columns, and is refused in ids. */
  const MARK = /[^\u0009\u000a\u000d\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;
  const escaped = (text) => text.replace(MARK, "\ufffd").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("\r", "&#13;").replaceAll("\n", "&#10;").replaceAll("\t", "&#9;");
  function votable(rows) {
    const all = fields(), bad = rows.find((row) => ids[row].search(MARK) >= 0);
    if (bad !== undefined) throw new Error(`a VOTable cannot hold the id of galaxy ${bad + 1}, which has control characters: use CSV`);
    const described = all.map(({ name, numbers, unit, ucd }, i) =>
      `<FIELD ID="c${i}" name="${escaped(name)}" ${numbers ? 'datatype="double"' : 'datatype="unicodeChar" arraysize="*"'}${unit ? ` unit="${unit}"` : ""}${ucd ? ` ucd="${ucd}"` : ""}/>`);
    const lines = rows.map((row) => `<TR>${all.map((field) => `<TD>${escaped(field.text(row) || (field.numbers ? "NaN" : ""))}</TD>`).join("")}</TR>`);
    return `<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results"><TABLE name="${escaped(selectionName || "selection")}">\n${described.join("\n")}\n<DATA><TABLEDATA>\n${lines.join("\n")}\n</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>\n`;
  }

  /* A file is called by the name of the selection; letters and digits of any language stay. */
  const fileName = (ending) => `${selectionName.replace(/[^\p{L}\p{N}_.-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "") || "galaxies"}.${ending}`;

  function save(name, content, type) {
    const link = made("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const tell = (text) => { byId("notice").textContent = text; };
  async function trying(act) {
    try { await act(); } catch (error) { tell(error.message); }
  }

  /* The server of a taught page writes FITS, and hands a selection to TOPCAT and Aladin by SAMP. */
  async function sent(how) {
    const answer = await served.selection(how, selected());
    if (answer.fits) save(fileName("fits"), decoded(answer.fits), "application/fits");
    tell(answer.told);
  }

  function buttons() {
    const all = [
      made("button", { id: "csv", onclick: () => save(fileName("csv"), csv(selected()), "text/csv") }, "CSV"),
      made("button", { id: "votable", onclick: () => trying(() => save(fileName("vot"), votable(selected()), "application/x-votable+xml")) }, "VOTable"),
    ];
    if (page.teaching?.server) for (const [how, words] of [["fits", "FITS"], ["samp", "SAMP"]]) all.push(made("button", { id: how, onclick: () => trying(() => sent(how)) }, words));
    return all;
  }
  return { csv, votable, save, buttons };
})();

"use strict";
/* Queue: which galaxies to ask about, as gzfeatures/teaching/next_questions.py chooses them. Scores within 1e-6 are equal, and of
   equal ones the smaller id goes first. */
const queue = (() => {
  const SCALE = 1e6, UNCERTAIN = 5, TYPICAL_FIRST = 3, TYPICAL = 7, FEW = 10, SOME = 20, LIKELY = 40, FEWEST = 20;
  const steps = (score) => Math.floor(Math.min(score, 1e9) * SCALE + 0.5);

  /* Rows by falling score. */
  function best(rows, scoreOf, ranks) {
    const scored = rows.map((row) => [row, steps(scoreOf(row))]);
    scored.sort((a, b) => b[1] - a[1] || ranks[a[0]] - ranks[b[0]]);
    return scored.map(([row]) => row);
  }

  function entropy(p, k, row) {
    let sum = 0;
    for (let c = 0; c < k; c++) { const one = p[row * k + c]; sum += one * Math.log(Math.max(one, 1e-300)); }
    return -sum / Math.log(k) + 0;
  }

  function distance(vectors, width, a, b) {
    let sum = 0;
    for (let i = 0; i < width; i++) { const d = vectors[a * width + i] - vectors[b * width + i]; sum += d * d; }
    return sum;
  }

  /* Rows of a pool, each the farthest from all labelled and all picked before it. */
  function farthest({ vectors, width, ranks }, pool, labelled, number) {
    const nearest = new Map(pool.map((row) => [row, Infinity]));
    const known = (other) => { for (const [row, d] of nearest) nearest.set(row, Math.min(d, distance(vectors, width, row, other))); };
    labelled.forEach(known);
    const picked = [];
    while (picked.length < number && nearest.size) {
      const [row] = best([...nearest.keys()], (one) => nearest.get(one), ranks);
      picked.push(row);
      nearest.delete(row);
      known(row);
    }
    return picked;
  }

  const poolSize = (free, share) => Math.max(FEWEST, Math.ceil(free.length / share));

  function informative(table, p, k, labelled, free, number) {
    const pool = best(free, (row) => entropy(p, k, row), table.ranks).slice(0, poolSize(free, UNCERTAIN));
    return farthest(table, pool, labelled, number);
  }

  /* Typical galaxies without a head and from 10 to 20 labels, else uncertain ones; later one of a likely member of the rarest class. */
  function questions(table, head, labelled, answered, rarest, free, number) {
    if (!head || (answered > FEW && answered <= SOME)) {
      const pool = [...free].sort((a, b) => table.typical[a] - table.typical[b]).slice(0, poolSize(free, head ? TYPICAL : TYPICAL_FIRST));
      return farthest(table, pool, labelled, number);
    }
    const likely = answered > SOME ? 1 : 0, picked = informative(table, head.p, head.k, labelled, free, number - likely);
    if (!likely) return picked;
    const taken = new Set(picked), pool = certain(table, head.p, head.k, rarest, free.filter((row) => !taken.has(row)), LIKELY);
    return [...picked, ...farthest(table, pool, [...labelled, ...picked], 1)];
  }

  const certain = ({ ranks }, p, k, code, free, number) => best(free, (row) => p[row * k + code], ranks).slice(0, number);

  function disputed({ ranks }, p, k, labelled, codes, number) {
    const given = new Map(labelled.map((row, i) => [row, p[row * k + codes[i]]]));
    return best(labelled.filter((row) => given.get(row) < 0.5), (row) => 1 - given.get(row), ranks).slice(0, number);
  }
  return { questions, certain, disputed, entropy };
})();

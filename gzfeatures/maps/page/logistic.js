"use strict";
/* Logistic head: one function per class against all others, as gzfeatures/teaching/logistic.py fits it; the same
   arithmetic in plain JavaScript, which needs no compiled code: 500 labels of 64 numbers take some 10 ms. */
const logistic = (() => {
  const STRENGTH = 0.2, FREE = 1e-6, STEPS = 100, CLOSE = 1e-10;

  const squash = (z) => { const small = Math.exp(-Math.abs(z)); return z >= 0 ? 1 / (1 + small) : small / (1 + small); };

  function dot(vectors, width, row, weights) {
    let sum = weights[width];
    for (let i = 0, at = row * width; i < width; i++) sum += vectors[at + i] * weights[i];
    return sum;
  }

  /* Solution of a symmetric positive definite system by Cholesky's decomposition, in place. */
  function solved(matrix, right, n) {
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = matrix[i * n + j];
        for (let k = 0; k < j; k++) sum -= matrix[i * n + k] * matrix[j * n + k];
        matrix[i * n + j] = i === j ? Math.sqrt(sum) : sum / matrix[j * n + j];
      }
    for (let i = 0; i < n; i++) {
      let sum = right[i];
      for (let k = 0; k < i; k++) sum -= matrix[i * n + k] * right[k];
      right[i] = sum / matrix[i * n + i];
    }
    for (let i = n - 1; i >= 0; i--) {
      let sum = right[i];
      for (let k = i + 1; k < n; k++) sum -= matrix[k * n + i] * right[k];
      right[i] = sum / matrix[i * n + i];
    }
    return right;
  }

  /* Weights of one function by Newton's method; a step that does not lower the objective is halved. */
  function minimum(vectors, width, rows, member) {
    const n = width + 1, m = rows.length, members = member.reduce((sum, one) => sum + one, 0);
    const weight = member.map((one) => (one ? 0.5 / (members / m) : 0.5 / (1 - members / m)));
    const penalty = (i) => (i < width ? 1 / STRENGTH : FREE);
    const objective = (w) => {
      let sum = 0;
      rows.forEach((row, r) => {
        const z = dot(vectors, width, row, w);
        sum += weight[r] * (Math.max(z, 0) - (member[r] ? z : 0) + Math.log1p(Math.exp(-Math.abs(z))));
      });
      for (let i = 0; i < n; i++) sum += 0.5 * penalty(i) * w[i] * w[i];
      return sum;
    };
    let w = new Float64Array(n), value = objective(w);
    for (let turn = 0; turn < STEPS; turn++) {
      const gradient = new Float64Array(n), curvature = new Float64Array(n * n);
      for (let i = 0; i < n; i++) { gradient[i] = penalty(i) * w[i]; curvature[i * n + i] = penalty(i); }
      const x = new Float64Array(n);
      for (let r = 0; r < m; r++) {
        const p = squash(dot(vectors, width, rows[r], w)), slope = weight[r] * (p - member[r]), bend = weight[r] * p * (1 - p);
        for (let i = 0, at = rows[r] * width; i < width; i++) x[i] = vectors[at + i];
        x[width] = 1;
        for (let i = 0; i < n; i++) {
          gradient[i] += slope * x[i];
          const part = bend * x[i];
          for (let j = 0; j <= i; j++) curvature[i * n + j] += part * x[j];
        }
      }
      const step = solved(curvature, gradient, n);
      let next = w, nearer = value;
      for (let halving = 0; halving < 30; halving++) {
        next = w.map((each, i) => each - step[i]);
        nearer = objective(next);
        if (nearer <= value + 1e-12 * (1 + Math.abs(value))) break;
        for (let i = 0; i < n; i++) step[i] /= 2;
      }
      w = next;
      value = nearer;
      if (step.every((each) => Math.abs(each) < CLOSE)) break;
    }
    return w;
  }

  /* Weights of k classes from labelled rows and their codes. */
  function fitted(vectors, width, rows, codes, k) {
    if (k === 2) {
      const w = minimum(vectors, width, rows, codes.map((code) => (code === 1 ? 1 : 0)));
      return [w.map((each) => -each), w];
    }
    return Array.from({ length: k }, (_, code) => minimum(vectors, width, rows, codes.map((one) => (one === code ? 1 : 0))));
  }

  /* Probability of each class of n galaxies, row after row. */
  function probabilities(vectors, width, n, weights) {
    const k = weights.length, p = new Float64Array(n * k);
    for (let row = 0; row < n; row++) {
      let sum = 0;
      for (let c = 0; c < k; c++) sum += p[row * k + c] = squash(dot(vectors, width, row, weights[c]));
      for (let c = 0; c < k; c++) p[row * k + c] /= sum;
    }
    return p;
  }
  return { fitted, probabilities };
})();

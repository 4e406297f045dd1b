// Node's JSON.parse over the documents that examples/documents.rs prints: says what it reads otherwise.

import { readFileSync } from "node:fs";

let documents = 0, paths = 0, skipped = 0, left = 0, text, document;

const fail = (what) => {
  console.error(what);
  process.exit(1);
};

const at = (value, path) => path.split("/").slice(1).reduce((value, step) => {
  const named = step[0] === "k";
  if (Array.isArray(value) === named) fail(`${text}: no ${step} there`);
  const key = named ? Buffer.from(step.slice(1), "hex").toString() : Number(step.slice(1));
  if (!Object.hasOwn(value, key)) fail(`${text}: ${path} is missing`);
  return value[key];
}, value);

const leaves = (value) => {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum, inner) => sum + leaves(inner), 0) || 1;
};

const bits = (number) => {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, number + 0);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
};

const same = (kind, value, said) => {
  const empty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  if (kind === "n") {
    if (typeof value !== "number") return false;
    if (said[0] === "?") return true;
    return bits(value) === said[0] && (said[1] === "-" || BigInt(value) === BigInt(said[1]));
  }
  if (kind === "s") return typeof value === "string" && Buffer.from(value).toString("hex") === (said[0] ?? "");
  if (kind === "a" || kind === "o") return empty && Array.isArray(value) === (kind === "a");
  return kind === "z" ? value === null : value === (said[0] === "true");
};

const complete = () => left === 0 || fail(`${text}: ${left} values that the gate does not see`);

for (const line of readFileSync(process.argv[2], "latin1").trimEnd().split("\n")) {
  const [kind, path, ...said] = line.trimEnd().split(" ");
  if (kind === "doc") {
    complete();
    text = Buffer.from(path, "hex").toString();
    document = JSON.parse(text);
    documents++;
    left = leaves(document);
    continue;
  }
  const value = at(document, path);
  if (!same(kind, value, said)) fail(`${text}: the gate reads ${line}, Node ${value}`);
  paths++, left--, skipped += said[0] === "?" ? 1 : 0;
}
complete();
console.log(`Node: ${documents} documents, ${paths} paths, ${skipped} of them ambiguous numbers`);

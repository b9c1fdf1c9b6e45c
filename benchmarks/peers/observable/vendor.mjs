// Framework takes libraries from a CDN. This puts those that npm installed where it keeps what it took.
import { build } from "esbuild";
import { cp, mkdir, readFile } from "node:fs/promises";

const { dependencies } = JSON.parse(await readFile("package.json", "utf8"));
delete dependencies["@observablehq/framework"];
for (const [name, version] of Object.entries(dependencies)) {
  const folder = `src/.observablehq/cache/_npm/${name}@${version}`;
  await build({ entryPoints: [name], outfile: `${folder}/_esm.js`, bundle: true, minify: true, format: "esm", platform: "browser", target: "es2022", logLevel: "error" });
}
const duckdb = `src/.observablehq/cache/_npm/@duckdb/duckdb-wasm@${dependencies["@duckdb/duckdb-wasm"]}/dist`;
await mkdir(duckdb, { recursive: true });
for (const name of ["duckdb-mvp.wasm", "duckdb-browser-mvp.worker.js", "duckdb-eh.wasm", "duckdb-browser-eh.worker.js"]) {
  await cp(`node_modules/@duckdb/duckdb-wasm/dist/${name}`, `${duckdb}/${name}`);
}

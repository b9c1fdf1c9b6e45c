// No extension of DuckDB: it would come from a server of its own, and CSV needs none.
export default {
  title: "Panel",
  root: "src",
  pages: [],
  search: false,
  duckdb: { extensions: { json: null, parquet: null } },
};

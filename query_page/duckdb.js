export { AsyncDuckDB, ConsoleLogger, LogLevel } from "@duckdb/duckdb-wasm";

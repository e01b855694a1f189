CREATE MATERIALIZED VIEW silver.x
AS SELECT value AS n FROM generate_series(1, 10)

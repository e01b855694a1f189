CREATE MATERIALIZED VIEW silver.customers
AS SELECT id, name FROM bronze.customers QUALIFY row_number() OVER (PARTITION BY id ORDER BY _partition, _offset) = 1;

CREATE MATERIALIZED VIEW silver.items
AS SELECT DISTINCT id, order_id, sku FROM bronze.items;

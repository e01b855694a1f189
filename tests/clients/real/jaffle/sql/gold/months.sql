CREATE MATERIALIZED VIEW gold.months
AS SELECT s.name AS store, extract(year FROM o.ordered_at) AS year, extract(month FROM o.ordered_at) AS month, sum(o.order_total) AS total,
  median(CAST(o.order_total AS DOUBLE)) AS median_total, grouping(s.name) AS level
FROM silver.orders o JOIN (SELECT DISTINCT id, name FROM bronze.stores) s ON o.store_id = s.id
GROUP BY GROUPING SETS ((s.name, extract(year FROM o.ordered_at), extract(month FROM o.ordered_at)), (extract(year FROM o.ordered_at)));

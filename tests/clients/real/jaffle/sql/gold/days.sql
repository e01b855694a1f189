CREATE MATERIALIZED VIEW gold.days
AS SELECT date_trunc('day', ordered_at) AS day, store_id, count(*) AS orders, sum(order_total) AS total, max(order_total) AS largest,
  avg(subtotal * 0.01) AS mean, sum(tax_paid) FILTER (WHERE tax_paid > 100.00) AS high_tax
FROM silver.orders GROUP BY 1, 2;

CREATE MATERIALIZED VIEW gold.customers
AS SELECT c.id, c.name, count(o.id) AS orders, sum(o.order_total) AS spent, min(o.ordered_at) AS first_order, max(o.ordered_at) AS last_order,
  c.id IN (SELECT user_id FROM bronze.tweets) AS tweets
FROM silver.customers c LEFT JOIN silver.orders o ON o.customer = c.id
GROUP BY c.id, c.name;

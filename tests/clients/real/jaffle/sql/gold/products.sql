CREATE MATERIALIZED VIEW gold.products
AS SELECT p.sku, p.name, count(i.id) AS sold, sum(p.price) AS brought, count(DISTINCT o.customer) AS customers, min(p.cost) AS cost
FROM silver.products p LEFT JOIN silver.items i ON i.sku = p.sku LEFT JOIN silver.orders o ON o.id = i.order_id
GROUP BY p.sku, p.name;

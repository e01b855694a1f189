CREATE MATERIALIZED VIEW silver.products
AS SELECT p.sku, p.name, p.type, p.price, s.supplies, s.cost
FROM (SELECT DISTINCT sku, name, type, price FROM bronze.products) p
LEFT JOIN (SELECT sku, count(*) AS supplies, sum(cost) AS cost FROM (SELECT DISTINCT id, sku, cost FROM bronze.supplies) u GROUP BY sku) s
  USING (sku);

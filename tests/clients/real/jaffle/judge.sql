-- The same tables by DuckDB, from the messages themselves: raw_TOPIC(_partition, _offset, payload).
CREATE OR REPLACE TABLE "bronze.orders" AS SELECT f.*, _partition, _offset FROM (SELECT _partition, _offset, from_json(payload, '{"id":"UUID",
  "customer":"VARCHAR","ordered_at":"TIMESTAMP","store_id":"VARCHAR","subtotal":"DECIMAL(12,2)","tax_paid":"DECIMAL(12,2)","order_total":"DECIMAL(12,2)"}') AS f
  FROM raw_orders WHERE json_valid(payload));
CREATE OR REPLACE TABLE "bronze.orders_errors" AS SELECT _partition AS "partition", _offset AS "offset" FROM raw_orders WHERE NOT coalesce(json_valid(payload), FALSE);
CREATE OR REPLACE TABLE "bronze.items" AS SELECT payload->>'$.id' AS id, (payload->>'$.order_id')::UUID AS order_id, payload->>'$.sku' AS sku,
  _partition, _offset FROM raw_items WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.products" AS SELECT payload->>'$.sku' AS sku, payload->>'$.name' AS name, payload->>'$.type' AS type,
  (payload->>'$.price')::DECIMAL(12, 2) AS price, _partition, _offset FROM raw_products WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.stores" AS SELECT payload->>'$.id' AS id, payload->>'$.name' AS name, (payload->>'$.opened_at')::TIMESTAMP AS opened_at,
  (payload->>'$.tax_rate')::DECIMAL(6, 4) AS tax_rate, _partition, _offset FROM raw_stores WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.customers" AS SELECT payload->>'$.id' AS id, payload->>'$.name' AS name, _partition, _offset FROM raw_customers WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.supplies" AS SELECT payload->>'$.id' AS id, (payload->>'$.cost')::INT AS cost, payload->>'$.sku' AS sku,
  _partition, _offset FROM raw_supplies WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.tweets" AS SELECT payload->>'$.id' AS id, payload->>'$.user_id' AS user_id, (payload->>'$.tweeted_at')::TIMESTAMP AS tweeted_at,
  payload->>'$.content' AS content, _partition, _offset FROM raw_tweets WHERE json_valid(payload);
CREATE OR REPLACE TABLE "silver.orders_wrong" AS SELECT id, order_total, _partition, _offset FROM "bronze.orders" WHERE (subtotal + tax_paid = order_total) IS NOT TRUE;
CREATE OR REPLACE TABLE "silver.orders" AS SELECT DISTINCT ON (id) id, customer, ordered_at, store_id, subtotal, tax_paid, order_total
  FROM "bronze.orders" WHERE subtotal + tax_paid = order_total ORDER BY id, _partition, _offset;
CREATE OR REPLACE TABLE "silver.items" AS SELECT id, order_id, sku FROM "bronze.items" GROUP BY ALL;
CREATE OR REPLACE TABLE "silver.customers" AS SELECT DISTINCT ON (id) id, name FROM "bronze.customers" ORDER BY id, _partition, _offset;
CREATE OR REPLACE TABLE "silver.products" AS SELECT sku, name, type, price,
  nullif((SELECT count(DISTINCT id) FROM "bronze.supplies" u WHERE u.sku = p.sku), 0) AS supplies,
  (SELECT sum(cost)::BIGINT FROM (SELECT DISTINCT id, sku, cost FROM "bronze.supplies") u WHERE u.sku = p.sku) AS cost
  FROM "bronze.products" p GROUP BY sku, name, type, price;
CREATE OR REPLACE TABLE "gold.days" AS SELECT date_trunc('day', ordered_at) AS day, store_id, count(*) AS orders, sum(order_total) AS total,
  max(order_total) AS largest,
  -- avg of DECIMAL(15, 4) has eight digits, half up; this is that in whole numbers
  ((2 * sum((subtotal * 100)::BIGINT) * 10000 + count(*)) // (2 * count(*)))::DECIMAL(19, 0) * 0.00000001::DECIMAL(8, 8) AS mean,
  sum(CASE WHEN tax_paid > 100 THEN tax_paid END) AS high_tax FROM "silver.orders" GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.months" AS SELECT s.name AS store, year(ordered_at) AS year, month(ordered_at) AS month, sum(order_total) AS total,
  median(order_total::DOUBLE) AS median_total, 0 AS level FROM "silver.orders" o, (SELECT DISTINCT id, name FROM "bronze.stores") s
  WHERE o.store_id = s.id GROUP BY ALL
  UNION ALL SELECT NULL, year(ordered_at), NULL, sum(order_total), median(order_total::DOUBLE), 1 FROM "silver.orders" o
  WHERE store_id IN (SELECT id FROM "bronze.stores") GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.products" AS SELECT p.sku, p.name, count(i.id) AS sold, sum(p.price) AS brought, count(DISTINCT o.customer) AS customers,
  min(p.cost) AS cost FROM "silver.products" p LEFT JOIN "silver.items" i USING (sku) LEFT JOIN "silver.orders" o ON o.id = i.order_id GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.customers" AS SELECT c.id, c.name, (SELECT count(*) FROM "silver.orders" o WHERE o.customer = c.id) AS orders,
  (SELECT sum(order_total) FROM "silver.orders" o WHERE o.customer = c.id) AS spent, (SELECT min(ordered_at) FROM "silver.orders" o WHERE o.customer = c.id) AS first_order,
  (SELECT max(ordered_at) FROM "silver.orders" o WHERE o.customer = c.id) AS last_order,
  EXISTS (SELECT 1 FROM "bronze.tweets" t WHERE t.user_id = c.id) AS tweets FROM "silver.customers" c;
CREATE OR REPLACE TABLE "gold.running" AS SELECT day, store_id, total,
  sum(total) OVER (PARTITION BY store_id ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week,
  lag(total) OVER (PARTITION BY store_id ORDER BY day) AS before FROM "gold.days";

CREATE MATERIALIZED VIEW gold.running
AS SELECT day, store_id, total, sum(total) OVER (PARTITION BY store_id ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week,
  lag(total) OVER (PARTITION BY store_id ORDER BY day) AS before
FROM gold.days;

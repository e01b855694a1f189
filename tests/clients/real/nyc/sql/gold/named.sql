CREATE MATERIALIZED VIEW gold.named
AS SELECT name, flights, worst FROM gold.carriers LEFT JOIN (SELECT DISTINCT carrier, name FROM bronze.airlines) a USING (carrier);

CREATE MATERIALIZED VIEW silver.tagged
AS SELECT r.vehicle_id FROM bronze.rides AS r WHERE EXISTS (SELECT 1 FROM UNNEST(r.tags) AS u(tag) WHERE u.tag = 'a')

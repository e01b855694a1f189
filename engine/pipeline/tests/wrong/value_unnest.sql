CREATE MATERIALIZED VIEW silver.tags
AS SELECT r.vehicle_id, (SELECT count(*) FROM UNNEST(r.tags) AS u(tag)) AS tags FROM bronze.rides AS r

CREATE MATERIALIZED VIEW silver.tags
AS SELECT r.vehicle_id, u.tag FROM bronze.rides AS r CROSS JOIN UNNEST(r.tags) AS u(tag);

CREATE MATERIALIZED VIEW silver.tags
AS SELECT r.vehicle_id, u.tag FROM bronze.rides AS r LEFT JOIN UNNEST(r.tags) AS u(tag) ON u.tag > 'a';

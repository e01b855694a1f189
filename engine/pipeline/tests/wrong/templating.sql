CREATE MATERIALIZED VIEW silver.x
AS SELECT id FROM {{ ref('vehicle_events') }}

-- The newest message of a plane counts.
CREATE MATERIALIZED VIEW silver.planes
AS SELECT tailnum, year, manufacturer, model, engines, seats
FROM bronze.planes
QUALIFY row_number() OVER (PARTITION BY tailnum ORDER BY _partition DESC, _offset DESC) = 1;

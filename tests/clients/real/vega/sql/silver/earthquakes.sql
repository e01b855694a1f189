CREATE TEMPORARY VIEW measured (
  CONSTRAINT has_magnitude EXPECT (mag IS NOT NULL) ON VIOLATION QUARANTINE INTO silver.earthquakes_rejected,
  CONSTRAINT plausible EXPECT (depth > -10.0 AND mag < 10.0) ON VIOLATION QUARANTINE INTO silver.earthquakes_rejected
)
AS SELECT * FROM bronze.earthquakes;

CREATE MATERIALIZED VIEW silver.earthquakes
AS SELECT id, mag, place, happened, mag_type, stations, net, lon, lat, depth
FROM measured
QUALIFY row_number() OVER (PARTITION BY id ORDER BY _partition, _offset) = 1;

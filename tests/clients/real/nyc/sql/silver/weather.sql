CREATE MATERIALIZED VIEW silver.weather
AS SELECT origin, time_hour, temp, humid, wind_speed, precip, visib
FROM bronze.weather
QUALIFY row_number() OVER (PARTITION BY origin, time_hour ORDER BY _partition, _offset) = 1;

CREATE SOURCE weather (origin VARCHAR, temp DECIMAL(6, 2), humid DECIMAL(6, 2), wind_speed DOUBLE, precip DECIMAL(6, 2), visib DOUBLE, time_hour TIMESTAMPTZ)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${WEATHER}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.weather
ON DECODE ERROR INTO bronze.weather_errors
AS SELECT * FROM STREAM weather;

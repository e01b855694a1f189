CREATE SOURCE ride_messages (
  "vehicleId" VARCHAR, started TIMESTAMPTZ, ended TIMESTAMPTZ, price DECIMAL(10, 2), tags ARRAY<STRING>)
WITH ('connector' = 'kafka', 'topic' = 'rides')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.rides
AS SELECT "vehicleId" AS vehicle_id, started, ended, price, tags FROM STREAM ride_messages;

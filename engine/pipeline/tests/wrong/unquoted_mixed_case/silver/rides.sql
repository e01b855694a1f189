CREATE SOURCE rides ("vehicleId" BIGINT, price DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'rides') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.rides
AS SELECT "vehicleId" AS vehicle_id, price FROM STREAM rides WHERE vehicleId = 1

CREATE MATERIALIZED VIEW silver.films PARTITIONED BY (grosss)
AS SELECT id AS "US Gross", type AS "Order", battery AS "vehicleId", lat AS "2ndTry" FROM bronze.vehicle_events;

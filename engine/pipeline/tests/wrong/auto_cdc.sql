CREATE FLOW keep AS AUTO CDC INTO silver.x FROM STREAM bronze.vehicle_events KEYS (id) SEQUENCE BY ts

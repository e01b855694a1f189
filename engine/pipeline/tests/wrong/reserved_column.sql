CREATE MATERIALIZED VIEW silver.rides AS SELECT vehicle_id, price AS _ingot_file FROM bronze.rides;

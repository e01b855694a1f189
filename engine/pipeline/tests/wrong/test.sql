CREATE TEST t FOR silver.vehicles
GIVEN bronze.vehicle_events AS (SELECT 'a' AS id)
EXPECT (SELECT 'a' AS id)

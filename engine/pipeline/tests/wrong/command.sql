REFRESH silver.vehicles FULL

CREATE SOURCE bronze.trips (id VARCHAR)
WITH ('connector' = 'kafka', 'topic' = 'trips') FORMAT PLAIN ENCODE JSON

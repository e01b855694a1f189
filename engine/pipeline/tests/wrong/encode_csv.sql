CREATE SOURCE trips (id VARCHAR)
WITH ('connector' = 'kafka', 'topic' = 'trips')
FORMAT PLAIN ENCODE CSV

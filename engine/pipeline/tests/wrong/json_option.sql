CREATE SOURCE trips (id VARCHAR, n DECIMAL(5, 2) DEFAULT 'many', id INT)
WITH ('connector' = 'kafka', 'topic' = 'trips')
FORMAT PLAIN ENCODE JSON (timestamp_fromat = 'iso8601', coerce = 'always')

CREATE SOURCE trips (id VARCHAR)
WITH ('connector' = 'kafka', 'topic' = '${TRIPS_TOPIC}', 'sasl.username' = '${USER_NAME:-me}')
FORMAT PLAIN ENCODE JSON

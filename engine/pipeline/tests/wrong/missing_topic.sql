CREATE SOURCE trips (id VARCHAR)
WITH ('connector' = 'kinesis')
FORMAT PLAIN ENCODE JSON

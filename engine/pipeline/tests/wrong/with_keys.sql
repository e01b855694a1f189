CREATE SOURCE trips (id VARCHAR)
WITH ('conector' = 'kafka', 'topic' = 'trips', 'start' = 'yesterday', 'fetch.max.byte' = '5', 'fetch.wait.max.ms' = 'soon')
FORMAT PLAIN ENCODE JSON

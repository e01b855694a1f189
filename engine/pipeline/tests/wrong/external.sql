CREATE EXTERNAL TABLE silver.others (id STRING, note, "ID" STRING, id BIGINT, _ingot_key BINARY)

CREATE SOURCE supplies (id VARCHAR, name VARCHAR, cost INT, perishable VARCHAR, sku VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${SUPPLIES}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.supplies
ON DECODE ERROR INTO bronze.supplies_errors
AS SELECT * FROM STREAM supplies;

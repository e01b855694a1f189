CREATE SOURCE customers (id VARCHAR, name VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${CUSTOMERS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.customers
ON DECODE ERROR INTO bronze.customers_errors
AS SELECT * FROM STREAM customers;

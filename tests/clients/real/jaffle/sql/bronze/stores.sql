CREATE SOURCE stores (id VARCHAR, name VARCHAR, opened_at TIMESTAMP, tax_rate DECIMAL(6, 4))
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${STORES}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.stores
ON DECODE ERROR INTO bronze.stores_errors
AS SELECT * FROM STREAM stores;

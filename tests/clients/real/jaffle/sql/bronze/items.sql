CREATE SOURCE items (id VARCHAR, order_id UUID, sku VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${ITEMS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.items
ON DECODE ERROR INTO bronze.items_errors
AS SELECT * FROM STREAM items;

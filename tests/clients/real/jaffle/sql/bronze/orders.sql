CREATE SOURCE orders (id UUID, customer VARCHAR, ordered_at TIMESTAMP, store_id VARCHAR, subtotal DECIMAL(12, 2), tax_paid DECIMAL(12, 2), order_total DECIMAL(12, 2))
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${ORDERS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.orders
PARTITIONED BY (months(ordered_at))
ON DECODE ERROR INTO bronze.orders_errors
AS SELECT * FROM STREAM orders;

CREATE SOURCE products (sku VARCHAR, name VARCHAR, type VARCHAR, price DECIMAL(12, 2), description VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${PRODUCTS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.products
ON DECODE ERROR INTO bronze.products_errors
AS SELECT * FROM STREAM products;

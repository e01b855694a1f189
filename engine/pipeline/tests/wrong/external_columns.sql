CREATE EXTERNAL TABLE sales.eu.orders (id BIGINT NOT NULL, placed TIMESTAMPTZ);

CREATE MATERIALIZED VIEW silver.orders
AS SELECT id, sales.eu.orders.place FROM sales.eu.orders WHERE orders.id > 0

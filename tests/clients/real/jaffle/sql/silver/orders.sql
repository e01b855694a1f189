CREATE TEMPORARY VIEW sums (
  CONSTRAINT adds_up EXPECT (subtotal + tax_paid = order_total) ON VIOLATION QUARANTINE INTO silver.orders_wrong
)
AS SELECT * FROM bronze.orders;

CREATE MATERIALIZED VIEW silver.orders
AS SELECT id, customer, ordered_at, store_id, subtotal, tax_paid, order_total
FROM sums
QUALIFY row_number() OVER (PARTITION BY id ORDER BY _partition, _offset) = 1;

CREATE MATERIALIZED VIEW silver.x
TBLPROPERTIES (
  'write.target-file-size-byte' = '1048576', 'write.distribution-mode' = 'hash', 'gc.enabled' = 'false',
  'write.parquet.compression-codec' = 'snappy', 'write.parquet.compression-level' = '3',
  'write.metadata.previous-versions-max' = 'many', 'write.metadata.delete-after-commit.enabled' = 'false',
  'team' = 'a'
)
AS SELECT id FROM bronze.vehicle_events

REFRESH gold.stats WHERE (a = 1); EXPLAIN REFRESH gold.stats; SHOW REFRESH HISTORY gold.stats; SHOW LINEAGE gold.stats.total; ALTER TABLE gold.stats EXECUTE optimize(file_size_threshold = '1MB');

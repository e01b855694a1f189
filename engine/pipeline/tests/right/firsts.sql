-- One winner for each key.

-- first_of_key: keep-first
SELECT k, s, f FROM silver.plain QUALIFY row_number() OVER (PARTITION BY k ORDER BY o) = 1;

-- last_of_key: keep-first
SELECT k, s, i FROM silver.plain QUALIFY row_number() OVER (PARTITION BY k, s ORDER BY o DESC) <= 1;

-- numbered_below: keep-first
SELECT k, f AS best FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY f DESC NULLS LAST) AS rn FROM (SELECT k, f, i FROM bronze.t) AS x) AS y WHERE rn < 2;

-- number_in_list: keep-first
SELECT k, o FROM (SELECT k, o, row_number() OVER (PARTITION BY k ORDER BY o) AS rn FROM silver.plain) AS x WHERE rn IN (1);

-- number_as_bigint: keep-first
SELECT k, o FROM (SELECT k, o, row_number() OVER (PARTITION BY k ORDER BY o) AS rn FROM silver.plain) AS x WHERE CAST(rn AS BIGINT) = 1;

-- number_as_text: full R0504
SELECT k, o FROM (SELECT k, o, row_number() OVER (PARTITION BY s ORDER BY o) AS rn FROM silver.plain) AS x WHERE CAST(rn AS VARCHAR) < '2';

-- number_as_text_below: full R0504
SELECT k, o FROM (SELECT k, o, CAST(row_number() OVER (PARTITION BY s ORDER BY o) AS VARCHAR) AS rn FROM silver.plain) AS x WHERE rn < '2';

-- number_is_two: full R0504
SELECT k, o FROM (SELECT k, o, row_number() OVER (PARTITION BY k ORDER BY o) AS rn FROM silver.plain) AS x WHERE rn = 2;

-- first_of_a_view_that_changes: keep-first
SELECT total, s, m FROM silver.totals QUALIFY row_number() OVER (PARTITION BY total ORDER BY s) = 1;

-- first_of_all: keep-first
SELECT k, s, o FROM silver.plain QUALIFY row_number() OVER (ORDER BY o) = 1;

-- GROUP BY at the root.

-- totals: aggregate
SELECT s, count(*) AS total, avg(f) AS a, max(f) AS m, sum(i) AS si, min(ts) AS mt FROM bronze.t GROUP BY s;

-- decimals: aggregate
SELECT k, count(f) FILTER (WHERE i > 0) AS c, sum(d) AS sd, avg(d) AS ad, min(d) AS nd, max(d) AS xd FROM bronze.t GROUP BY k;

-- everything: aggregate
SELECT count(*) AS c, sum(f) AS sf, max(d) AS m, min(f) AS n, max(s) AS ms FROM bronze.t WHERE k > 0;

-- max_of_doubles_filtered: aggregate
SELECT k, max(f) FILTER (WHERE b) AS m, min(f) FILTER (WHERE b) AS n, max(r) FILTER (WHERE b) AS mr FROM bronze.t GROUP BY k;

-- max_of_doubles_filtered_never_null: aggregate
SELECT k, max(f) FILTER (WHERE i IS NOT NULL) AS m, min(f) FILTER (WHERE i IS NULL) AS n FROM bronze.t GROUP BY k;

-- sum_of_case: aggregate
SELECT k, sum(CASE WHEN i > 0 THEN i ELSE 0 END) AS plus, sum(CASE WHEN i > 0 THEN 1 ELSE 0 END) AS n FROM bronze.t GROUP BY k;

-- sum_of_case_globally: aggregate
SELECT sum(CASE WHEN i > 0 THEN i ELSE 0 END) AS plus, avg(CASE WHEN i > 0 THEN f END) AS a FROM bronze.t;

-- not_true_twice: aggregate
SELECT k, count(*) FILTER (WHERE b IS NOT TRUE) AS n, sum(i) FILTER (WHERE b IS NOT TRUE) AS si FROM bronze.t GROUP BY k;

-- not_true_in_sums: aggregate
SELECT k, sum(CASE WHEN (i > 1) IS NOT TRUE THEN 1 ELSE 0 END) AS a, sum(CASE WHEN (i > 1) IS NOT TRUE THEN i ELSE 0 END) AS c
FROM bronze.t GROUP BY k;

-- same_key_twice: aggregate
SELECT k, k AS again, count(*) AS n FROM bronze.t GROUP BY k, k;

-- sums_that_differ_in_a_cast: aggregate
SELECT k, sum(i) AS a, sum(CAST(i AS DOUBLE)) AS c, avg(i) AS x, avg(CAST(i AS DECIMAL(20, 4))) AS y FROM bronze.t GROUP BY k;

-- extrema_that_differ_in_a_cast: aggregate
SELECT max(k) AS a, max(CAST(k AS VARCHAR)) AS c, count(k) AS n FROM bronze.t;

-- statistics: aggregate
SELECT k, stddev(f) AS a, var_pop(i) AS v, corr(f, i) AS c, covar_samp(i, k) AS e, regr_slope(f, i) AS g FROM bronze.t GROUP BY k;

-- by_day: aggregate
SELECT date_trunc('day', ts) AS day, count(*) AS c, max(i) - min(i) AS spread FROM bronze.t GROUP BY 1;

-- by_expression: aggregate
SELECT coalesce(s, 'none') AS s2, 10 * count(*) AS c10, sum(f) / count(*) AS q FROM bronze.t GROUP BY s;

-- by_uuid: aggregate
SELECT u, count(*) AS n, max(ts) AS seen FROM bronze.t GROUP BY u;

-- keys_alone: aggregate
SELECT k FROM bronze.t GROUP BY k;

-- by_boolean_and_date: aggregate
SELECT b, dt, count(*) AS n, min(s) AS first FROM bronze.t GROUP BY b, dt;

-- over_union: aggregate
SELECT k, sum(i) AS si, count(*) AS n FROM (SELECT k, i FROM bronze.t UNION ALL SELECT k, v AS i FROM bronze.u) AS x GROUP BY k;

-- over_unnest_beside: aggregate
SELECT u.tag, count(*) AS n, min(n) AS first FROM bronze.t AS t CROSS JOIN UNNEST(t.tags) WITH ORDINALITY AS u(tag, n) GROUP BY u.tag;

-- over_unnest: aggregate
SELECT tag, count(*) AS n FROM (SELECT unnest(tags) AS tag FROM bronze.t) AS x GROUP BY tag;

-- of_a_view: aggregate
SELECT total, count(*) AS n FROM silver.totals GROUP BY total;

-- sorted_output: aggregate
SELECT s, count(*) AS total FROM bronze.t GROUP BY s ORDER BY total DESC;

-- key_beside_its_cast: aggregate
SELECT k, CAST(k AS DOUBLE) AS kd, count(*) AS n FROM bronze.t GROUP BY k, CAST(k AS DOUBLE);

-- key_beside_its_cast_unseen: aggregate
SELECT k, count(*) AS n, max(o) AS m FROM bronze.t GROUP BY k, CAST(k AS VARCHAR);

-- text_beside_its_number: aggregate
SELECT TRY_CAST(s AS INT) AS x, s, count(*) AS n FROM bronze.t GROUP BY 1, 2;

-- time_beside_its_day: aggregate
SELECT ts, CAST(ts AS DATE) AS day, sum(i + 1) AS a, sum(CAST(i AS DOUBLE) + 1) AS c FROM bronze.t GROUP BY ts, CAST(ts AS DATE);

-- sums_beside_their_cast: aggregate
SELECT k + 1 AS a, CAST(k AS DOUBLE) + 1 AS c, count(*) AS n FROM bronze.t GROUP BY k + 1, CAST(k AS DOUBLE) + 1;

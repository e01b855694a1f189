-- Computed as a whole.

-- joined: full R0501
SELECT a.k, a.s, c.name FROM bronze.t AS a JOIN bronze.u AS c ON a.k = c.k;

-- left_joined: full R0501
SELECT a.k, a.i, c.v FROM bronze.t AS a LEFT JOIN bronze.u AS c ON a.k = c.k AND c.v > 1;

-- full_joined: full R0501
SELECT a.k, c.k AS k2, c.name FROM bronze.t AS a FULL JOIN bronze.u AS c ON a.k = c.k;

-- joined_by_what_may_be_null: full R0501 R0504
SELECT a.k, a.s, rank() OVER (PARTITION BY a.k ORDER BY a.i DESC NULLS LAST) AS place, c.name
FROM silver.plain AS a LEFT JOIN bronze.u AS c ON a.k IS NOT DISTINCT FROM c.k AND a.s IS NOT DISTINCT FROM c.name WHERE a.k > 1;

-- cross_joined: full R0501
SELECT a.o, c.k FROM bronze.t AS a CROSS JOIN bronze.u AS c;

-- self_joined: full R0501
SELECT a.o, c.o AS o2 FROM bronze.t AS a JOIN bronze.t AS c ON a.k = c.k AND a.o < c.o;

-- joined_and_grouped: full R0501
SELECT c.name, sum(a.i) AS si FROM bronze.t AS a JOIN bronze.u AS c ON a.k = c.k GROUP BY c.name;

-- distinct_rows: full R0503
SELECT DISTINCT k, s FROM bronze.t;

-- distinct_on: full R0503
SELECT DISTINCT ON (k) k, s, o FROM silver.plain ORDER BY k, o;

-- united: full R0503
SELECT k FROM bronze.t UNION SELECT k FROM bronze.u;

-- excepted: full R0501
SELECT k FROM bronze.t EXCEPT SELECT k FROM bronze.u;

-- intersected: full R0501
SELECT k FROM bronze.t INTERSECT SELECT k FROM bronze.u;

-- top_three: full R0502
SELECT k, s, o FROM bronze.t ORDER BY o DESC LIMIT 3;

-- having: full R0513
SELECT k, count(*) AS n FROM bronze.t GROUP BY k HAVING count(*) > 2;

-- rollup: full R0512
SELECT k, s, count(*) AS n FROM bronze.t GROUP BY ROLLUP (k, s);

-- nested_groups: full R0514
SELECT n, count(*) AS times FROM (SELECT k, count(*) AS n FROM bronze.t GROUP BY k) AS x GROUP BY n;

-- distinct_count_beside_decimal_sum: full R0510 R0511
SELECT k, count(DISTINCT s) AS words, sum(d) AS sd FROM bronze.t GROUP BY k;

-- distinct_count_beside_all_sums: full R0510 R0511
SELECT k, count(DISTINCT s) AS words, sum(d) AS sd, sum(i) AS si, sum(f) AS sf, max(i) AS mi FROM bronze.t GROUP BY k;

-- distinct_pairs: full R0511
SELECT k, corr(DISTINCT f, i) AS a, covar_pop(DISTINCT f, f) AS b, regr_slope(DISTINCT i, o) AS c FROM bronze.t GROUP BY k;

-- distinct_statistics: full R0511
SELECT k, stddev(DISTINCT f) AS a, stddev_pop(DISTINCT i) AS c, var(DISTINCT f) AS v, avg(DISTINCT f) AS x, sum(DISTINCT d) AS y
FROM bronze.t GROUP BY k;

-- medians: full R0510
SELECT k, median(f) AS m, array_agg(s) AS words, string_agg(s, ',') AS line, bool_and(b) AS every FROM bronze.t GROUP BY k;

-- windows_several: full R0504
SELECT k, o, row_number() OVER (PARTITION BY k ORDER BY o) AS n, rank() OVER (PARTITION BY s ORDER BY i) AS r,
  sum(i) OVER (PARTITION BY k ORDER BY o ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two,
  lag(s) OVER (PARTITION BY k ORDER BY o) AS before, count(*) OVER (PARTITION BY s) AS same, avg(f) OVER (PARTITION BY b) AS a
FROM silver.plain;

-- windows_same_sum_of_two_types: full R0504
SELECT k, o, sum(i) OVER (PARTITION BY k) AS a, sum(CAST(i AS DOUBLE)) OVER (PARTITION BY k) AS c FROM silver.plain;

-- window_without_partition: full R0505
SELECT k, o, row_number() OVER (ORDER BY o) AS n FROM silver.plain;

-- in_subquery: full R0506
SELECT k, s FROM bronze.t WHERE k IN (SELECT k FROM bronze.u);

-- exists_subquery: full R0506
SELECT k, s FROM bronze.t AS a WHERE EXISTS (SELECT 1 AS one FROM bronze.u AS c WHERE c.k = a.k);

-- scalar_subquery: full R0506
SELECT k, i FROM bronze.t WHERE i > (SELECT avg(v) FROM bronze.u);

-- correlated_scalar: full R0506
SELECT a.o, (SELECT max(c.v) FROM bronze.u AS c WHERE c.k = a.k) AS most FROM bronze.t AS a;

-- recursive: full R0509 R0516
WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 AS x FROM n WHERE x < 5) SELECT x FROM n;

-- constants: full R0509
SELECT k, s FROM bronze.t UNION ALL SELECT 1 AS k, 'x' AS s;

-- all_at_once: full R0501 R0506 R0510 R0511
SELECT c.name, median(a.f) AS m, count(DISTINCT a.s) AS n FROM bronze.t AS a JOIN bronze.u AS c ON a.k = c.k
WHERE a.i IN (SELECT v FROM bronze.u) GROUP BY c.name;

-- sets_with_a_cast: full R0512
SELECT grouping(k) AS g, k, CAST(k AS DOUBLE) AS kd, count(*) AS n FROM bronze.t GROUP BY ROLLUP (k, CAST(k AS DOUBLE));

-- sets_with_an_expression: full R0512
SELECT grouping(k + 1) AS g, k + 1 AS k1, count(*) AS n FROM bronze.t GROUP BY CUBE (k + 1, s);

-- windows_that_differ_in_a_cast: full R0504
SELECT o, rank() OVER (PARTITION BY CAST(k / 2 AS INT) ORDER BY o) AS a, rank() OVER (PARTITION BY k / 2 ORDER BY o) AS c,
  sum(i) OVER (PARTITION BY k) AS e, sum(CAST(i AS DOUBLE)) OVER (PARTITION BY k) AS g FROM silver.plain;

-- distinct_on_a_cast: full R0503
SELECT DISTINCT ON (k, CAST(k AS INT)) k, o FROM silver.plain ORDER BY k, CAST(k AS INT), o DESC;

-- joined_over_a_cast: full R0501 R0514
SELECT x.kk, x.n, c.name FROM (SELECT k AS kk, count(*) AS n FROM bronze.t GROUP BY k, CAST(k AS DOUBLE)) AS x
JOIN bronze.u AS c ON x.kk = c.v AND x.kk = c.k;

-- members_and_casts: full R0506
SELECT k, CAST(k AS INT) IN (SELECT v FROM bronze.u) AS a, k IN (SELECT k FROM bronze.u) AS c, CAST(k AS INT) AS ki FROM bronze.t;

-- windows_by_uuid: full R0504 R0505
SELECT o, row_number() OVER (ORDER BY u) AS rn, rank() OVER (ORDER BY u DESC NULLS LAST) AS r, sum(o) OVER (ORDER BY u) AS so,
  lag(o) OVER (PARTITION BY k ORDER BY u) AS l, count(*) OVER (PARTITION BY u) AS n,
  max(o) OVER (PARTITION BY k ORDER BY u RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS m FROM silver.plain;

-- windows_by_structs: full R0505
SELECT o, sum(o) OVER (ORDER BY named_struct('a', k, 'b', s)) AS so FROM silver.plain;

-- ordered_twice: full R0503
SELECT DISTINCT ON (k) k, s, o FROM silver.plain ORDER BY k, k, o DESC, o;

-- distinct_on_twice: full R0503
SELECT DISTINCT ON (k, k) k, s, o FROM silver.plain ORDER BY k, o DESC;

-- windows_ordered_twice: full R0504
SELECT o, rank() OVER (PARTITION BY k, k ORDER BY i, i DESC) AS r, sum(o) OVER (PARTITION BY k ORDER BY k, o, o DESC) AS so FROM silver.plain;

-- lists_ordered_twice: full R0510
SELECT k, array_agg(o ORDER BY i, i, o) AS a, string_agg(s, ',' ORDER BY s DESC, s) AS c,
  first_value(o ORDER BY i, i DESC, o) AS f, last_value(o ORDER BY o + 0, o) AS l FROM silver.plain GROUP BY k;

-- lead_and_lag_in_a_query: full R0504
WITH x AS (SELECT k, lag(o) OVER (PARTITION BY k ORDER BY o) AS a, lead(f, 1, 0e0) OVER (PARTITION BY k ORDER BY o DESC) AS c,
  sum(i) OVER (PARTITION BY k ORDER BY o) AS e FROM silver.plain)
SELECT k, a, c FROM x WHERE a > 1;

-- distinct_counts_beside_a_cast: full R0511
SELECT s, TRY_CAST(s AS INT) AS x, count(DISTINCT k) AS a, count(DISTINCT CAST(k AS INT)) AS c FROM bronze.t GROUP BY 1, 2;

-- windows_over_floats: full R0504 R0505
SELECT k, max(i) FILTER (WHERE f > 0) OVER (PARTITION BY k) AS a, lead(s) OVER (PARTITION BY f ORDER BY o) AS b,
  min(f) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS c FROM silver.plain;

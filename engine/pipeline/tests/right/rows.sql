-- Row by row: filters, projections, UNION ALL, unnest.

-- filter_project: linear
SELECT k, f * 2 AS f2, s FROM bronze.t WHERE k IS NOT NULL;

-- all_columns: linear
SELECT * FROM bronze.t;

-- plain: linear
SELECT k, s, f, r, d, i, b, ts, dt, u, tags, o FROM bronze.t;

-- union_all: linear
SELECT k, i FROM bronze.t UNION ALL SELECT k, v AS i FROM bronze.u UNION ALL SELECT k, i FROM bronze.t WHERE i > 3;

-- with_query: linear
WITH some AS (SELECT * FROM bronze.t WHERE f > 0 OR f IS NULL) SELECT s, upper(s) AS up, f, d, ts FROM some AS x ORDER BY s;

-- unnested: linear
SELECT k, unnest(tags) AS tag FROM bronze.t;

-- unnested_beside: linear
SELECT t.k, u.tag FROM bronze.t AS t CROSS JOIN UNNEST(t.tags) AS u(tag) WHERE u.tag <> 'x' OR t.k > 1;

-- unnested_numbered: linear
SELECT k, n, tag FROM bronze.t, LATERAL UNNEST(tags) WITH ORDINALITY AS u(tag, n);

-- unnested_or_not: linear
SELECT k, u.tag, n FROM bronze.t LEFT JOIN UNNEST(tags) WITH ORDINALITY AS u(tag, n) ON TRUE;

-- unnested_twice: linear
SELECT t.k, a.tag AS first, b.tag AS second FROM bronze.t AS t CROSS JOIN UNNEST(t.tags) AS a(tag) CROSS JOIN UNNEST(t.tags) AS b(tag);

-- text_casts: linear
SELECT k, TRY_CAST(s AS UUID) AS id, TRY_CAST(' ' || CAST(k AS VARCHAR) || 'e1 ' AS DECIMAL(20, 2)) AS d FROM bronze.t;

-- list_sums: linear
SELECT k, array_sum([k, 1]) AS a, array_avg([d, d]) AS b, round(f * 1e300, 2) AS r FROM bronze.t;

-- map_column: linear
SELECT k, m FROM bronze.t;

-- map_value: linear
SELECT k, m['a'] AS a, map_keys(m) AS names FROM bronze.t;

-- structs: linear
SELECT k, named_struct('a', i, 'b', tags) AS st FROM bronze.t;

-- rounded: linear
SELECT k, round(d, 1) AS r1, round(d, 0) AS r0, round(f, 1) AS rf FROM bronze.t;

-- cases: linear
SELECT k, CASE WHEN i > 0 THEN s ELSE 'none' END AS word, coalesce(s, 'x') AS s2, nullif(i, 1) AS i2 FROM bronze.t;

-- days: linear
SELECT date_trunc('day', ts) AS day, CAST(ts AS DATE) AS date, extract(year FROM ts) AS year, dt FROM bronze.t;

-- texts: linear
SELECT trim(s) || '-' || CAST(k AS VARCHAR) AS a, length(s) AS n, s LIKE 'b%' AS l, split_part(s, 'l', 1) AS p FROM bronze.t;

-- odd_names: linear
SELECT k AS "US Gross", s AS "a(b)", i AS "a,b", f AS "100 %" FROM bronze.t;

-- odd_names_read: linear
SELECT * FROM silver.odd_names;

-- odd_names_grouped: aggregate
SELECT "a(b)", count(*) AS "how many, all", sum("US Gross") AS "sum(k)" FROM silver.odd_names GROUP BY "a(b)";

-- file_and_pos: linear
SELECT k AS _file, i AS _pos, s FROM bronze.t;

-- file_and_pos_grouped: aggregate
SELECT s AS _file, sum(i) AS _pos FROM bronze.t GROUP BY s;

-- cast_beside: linear
SELECT k, CAST(k AS DOUBLE) AS kd, CAST(k AS VARCHAR) AS kt FROM bronze.t;

-- distinct_from_in_conditions: linear
SELECT k, s, 'n' || i * 2 AS n FROM bronze.t WHERE s IS NOT DISTINCT FROM 'a' AND i IS DISTINCT FROM 3 OR k IS NOT DISTINCT FROM NULL;

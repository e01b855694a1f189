//! Percentiles, medians, and statistics over distinct values.

use crate::engine::Engine;
use crate::world::World;

/// Values, where, the percentile there and the median: DuckDB's.
#[rustfmt::skip]
const CASES: &[(&[f64], f64, f64, f64)] = &[
    (&[7040325.0, 5963965.0, 4985179.0, -8594730.0, -4715376.0, -8001797.0, -8990596.0, -3446103.0], 0.51912, -3910860.0016799998, -4080739.5),
    (&[1.6244953189036817, 4.976562004630843, -1.8472278298445008, -4.297765004400741, 3.465836218811786, -2.8649832152040746, -1.2453679010004604, 0.6624174587022447], 0.33689, -1.6316235475347, -0.29147522114910784),
    (&[4.640762165937641, -2.5361205110687, 2.970215118439741, -0.5257512249897847, -0.8076950428102077, 4.90052247143281], 1.0, 4.90052247143281, 1.2222319467249783),
    (&[-1.0572536292794563, -3.9966724781611704, -2.4172244213837955, -1.1383004431874646], 0.6, -1.394085238826731, -1.77776243228563),
    (&[-7.45557815445443e+149, -7.285240908484806e+97, -3.783774240549844e+57, -6.830485799994412e+160, 9.002717046172906e+122, -792320637.2701039], 0.9627, 7.323710317061662e+122, -3.642620454242403e+97),
    (&[8.0964812035063355e+124, 8.584723728947837e+16, 1.1873268564801797e+156, 8.347203569851502e+51, -1.771468751772416e+62, -4.3607623325608124e+134, -8.156157529034442e+34], 0.980493421, 1.0483627457316656e+156, 8.584723728947837e+16),
    (&[462429.0, -7489000.0, -5416270.0], 1.0, 462429.0, -5416270.0),
    (&[-5653210.0, -7150329.0, -8984319.0, 2828984.0, -7308867.0, 3966907.0, 9493543.0, -7188736.0], 0.518697141, -6205826.584742547, -6401769.5),
    (&[-3.8086369301517875e+56], 0.49725058, -3.8086369301517875e+56, -3.8086369301517875e+56),
    (&[-1.3204864933317428, 0.18394620490127433, -0.016889580210528443, -3.0149422113468405, 3.802689180835282], 0.21, -1.5915994082141585, -0.016889580210528443),
    (&[6.974406099404758e+181, -4.4640800622317766e+42, -4.496743541101833e+53, 3.995063146763078e+170, 6.838040945237353e+158, 6.574547146482135e+70, -4.3785930319753353e+89, 1.2807795433869963e+163], 0.4052, 5.4989512333176594e+70, 3.4190204726186763e+158),
    (&[-718250948237.6677], 0.446480767, -718250948237.6677, -718250948237.6677),
    (&[1.844927459809953, -3.213139048649154, 2.1417095539104194, 0.3968912882589972, -1.0648378842501471, -0.8951778015044463], 0.4505, -0.5689303563391769, -0.24914325662272452),
    (&[3.053475600379827e+127], 0.4637, 3.053475600379827e+127, 3.053475600379827e+127),
    (&[-5856563.0, 397095.0], 0.536957, -2498617.561294, -2729734.0),
    (&[-8753961.0, -763915.0, 4392646.0, -5285596.0, 7388323.0], 0.83997644, 5470807.40739952, -763915.0),
    (&[4744558.0, 8841859.0, -1392839.0, -3012640.0, 7590103.0, 7981943.0, -9068680.0, 8253501.0], 0.8, 8144877.8, 6167330.5),
    (&[1.9098676120319382, -0.8622591256511978, -2.5372253750889384, 4.008947299101727, -1.8278535374541849, 4.252706785516645, -4.643751442871497, -1.7791775074897132], 0.1, -3.169183195423706, -1.3207183165704555),
    (&[4655771.0, -4640401.0, -2673600.0, 9684528.0, 1663380.0, -3467450.0, -5505981.0, -1292709.0, 8229343.0], 0.79, 5799314.040000001, -1292709.0),
    (&[5.9771566119430466e+23, -2.848248047922111e+91, 2.6932316658130917e+86, 6.658981470615757e+17], 0.1, -1.9937736335454775e+91, 2.9885816354622586e+23),
    (&[-3639049.0, -500927.0, -5488598.0, -6754819.0, 1897401.0, -8628374.0, 2065103.0, -4460947.0, -7153742.0], 0.8017062, 491140.41786880075, -4460947.0),
    (&[-1334090.0, -4630052.0, 8081607.0, -3908209.0], 0.406, -3347051.058, -2621149.5),
    (&[-7.982736228317829e+90, 8.893513673756183e+169], 0.3378156, 3.0043676578081493e+169, 4.446756836878092e+169),
    (&[-2845567.0, -9234271.0, -1388809.0], 0.443646479, -3565618.9300535684, -2845567.0),
];

fn close(found: &str, wanted: f64) -> bool {
    found.parse::<f64>().is_ok_and(|f| f == wanted || ((f - wanted) / wanted).abs() < 1e-14)
}

#[tokio::test]
async fn percentiles_are_interpolated_without_loss() {
    let engine = Engine::new();
    for (values, at, percentile, median) in CASES {
        let rows: Vec<String> = values.iter().map(|v| format!("(1, {v:e})")).collect();
        let from = format!("(VALUES {}) t(k, x)", rows.join(", "));
        let at = format!("CAST('{at}' AS DOUBLE)");
        for sql in [
            format!("SELECT percentile_cont({at}) WITHIN GROUP (ORDER BY x), median(x) FROM {from}"),
            format!("SELECT quantile_cont(x, {at}), median(x) FROM {from} GROUP BY k"),
            format!("SELECT quantile_cont(x, {at}) OVER (), median(x) OVER () FROM {from} LIMIT 1"),
            format!("SELECT percentile_cont(1 - {at}) WITHIN GROUP (ORDER BY x DESC), median(DISTINCT x) FROM {from}"),
        ] {
            let rows = engine.rows(&sql).await;
            let (found, middle) = rows[0].split_once('|').unwrap();
            let descending = sql.contains("DESC");
            let near = found.parse::<f64>().is_ok_and(|f| ((f - percentile) / percentile).abs() < 1e-9);
            assert!(close(found, *percentile) || descending && near, "{sql}: {found}, not {percentile}");
            assert!(close(middle, *median), "{sql}: {middle}, not {median}");
        }
    }
}

#[tokio::test]
async fn values_at_the_ends_of_the_range() {
    let w = World::new(&[(
        "f",
        "SELECT k, CAST(x AS DOUBLE) AS x FROM (VALUES ('aa', 'inf'), ('aa', 'inf'), ('bb', '-inf'), ('bb', 'inf'), \
         ('cc', '-inf'), ('cc', '1'), ('dd', '1'), ('dd', 'inf'), ('ee', '1e308'), ('ee', '1.2e308'), ('ff', '-1e308'), \
         ('ff', '1e308'), ('gg', 'NaN'), ('gg', '1'), ('hh', '-inf'), ('hh', '-inf'), ('ii', NULL)) v(k, x)",
    )])
    .await;
    // By IEEE 754, where SQL says nothing; between two equal values lies that value.
    w.rows(
        "SELECT k, median(x), percentile_cont(0.25) WITHIN GROUP (ORDER BY x), percentile_cont(0.0) WITHIN GROUP \
         (ORDER BY x), percentile_cont(1.0) WITHIN GROUP (ORDER BY x) FROM f GROUP BY k ORDER BY k",
        "aa|inf|inf|inf|inf;bb|NaN|NaN|-inf|inf;cc|-inf|-inf|-inf|1.0;dd|inf|inf|1.0|inf;\
         ee|1.1e308|1.05e308|1e308|1.2e308;ff|0.0|-5e307|-1e308|1e308;gg|NaN|NaN|1.0|NaN;hh|-inf|-inf|-inf|-inf;\
         ii|NULL|NULL|NULL|NULL",
    )
    .await;
    // 0.3 * 7 is between the third and the fourth of eight values.
    w.rows(
        "SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY x) FROM (SELECT unnest(range(0, 8)) * 1e6 AS x) t",
        "6300000.0",
    )
    .await;
}

#[tokio::test]
async fn a_share_is_a_constant_between_zero_and_one() {
    let w = World::new(&[("f", "SELECT CAST(v AS DOUBLE) AS x, 's' AS s FROM (VALUES (1), (2), (4)) t(v)")]).await;
    for (share, shown) in [
        ("1.5", "1.5"),
        ("-0.5", "-0.5"),
        ("2", "2"),
        ("NULL", "NULL"),
        ("x", "f.x"),
        ("x / 10", "f.x / "),
        ("0.9 + 0.2", "0.9 + 0.2"),
        ("CAST('NaN' AS DOUBLE)", "NaN"),
        ("CAST('inf' AS DOUBLE)", "inf"),
    ] {
        for call in [
            format!("percentile_cont({share}) WITHIN GROUP (ORDER BY x)"),
            format!("quantile_cont(x, {share})"),
            format!("quantile_cont(x, {share}) OVER ()"),
            format!("approx_percentile_cont({share}) WITHIN GROUP (ORDER BY x)"),
        ] {
            if call.starts_with("approx") && matches!(share, "NULL" | "x" | "x / 10") {
                continue;
            }
            let sql = format!("SELECT {call} FROM f");
            w.fails(&sql, "is a constant between 0.0 and 1.0, and ").await;
            w.fails(&sql, shown).await;
        }
    }
    for number in ["0", "-1", "CAST(NULL AS INT)", "CAST(x AS INT)"] {
        for call in ["approx_percentile_cont(x, 0.5,", "approx_percentile_cont_with_weight(x, 1, 0.5,"] {
            w.fails(&format!("SELECT {call} {number}) FROM f"), "the number of centroids").await;
        }
    }
    for (share, wanted) in [("0.0", "1.0"), ("1", "4.0"), ("1 - 0.5", "2.0"), ("CAST(1 AS DOUBLE) - 5e-1", "2.0")] {
        w.rows(&format!("SELECT percentile_cont({share}) WITHIN GROUP (ORDER BY x) FROM f"), wanted).await;
    }
}

#[tokio::test]
async fn aggregates_of_nothing_but_null_are_null() {
    let w = World::new(&[("f", "SELECT n, CAST(NULL AS BIGINT) AS z FROM (VALUES (1), (1), (2)) t(n)")]).await;
    // DuckDB's; the types are those of `typeof`, with BIGINT for its HUGEINT.
    let calls = [
        ("median", "Float64"),
        ("avg", "Float64"),
        ("mean", "Float64"),
        ("try_avg", "Float64"),
        ("sum", "Int64"),
        ("try_sum", "Int64"),
        ("bit_and", "Int64"),
        ("bit_or", "Int64"),
        ("bit_xor", "Int64"),
        ("stddev", "Float64"),
        ("var_pop", "Float64"),
        ("bool_and", "Boolean"),
        ("bool_or", "Boolean"),
        ("min", "Null"),
        ("max", "Null"),
        ("first_value", "Null"),
    ];
    for (name, data_type) in calls {
        w.typed(&format!("SELECT {name}(NULL) FROM f"), "NULL", data_type).await;
        w.rows(&format!("SELECT {name}(NULL) FILTER (WHERE n > 1) FROM f"), "NULL").await;
        w.rows(&format!("SELECT {name}(NULL) OVER () FROM f"), "NULL;NULL;NULL").await;
        let sliding = "OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
        w.rows(&format!("SELECT {name}(NULL) {sliding} FROM f"), "NULL;NULL;NULL").await;
        w.rows(
            &format!("SELECT n, {name}(x) FROM (SELECT n, NULL AS x FROM f) q GROUP BY n ORDER BY n"),
            "1|NULL;2|NULL",
        )
        .await;
        if name != "first_value" {
            w.rows(&format!("SELECT {name}(DISTINCT NULL) FROM f"), "NULL").await;
        }
        if !name.starts_with("bool") {
            w.rows(&format!("SELECT {name}(z) FROM f"), "NULL").await;
        }
    }
    w.rows("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY NULL), quantile_cont(NULL, 0.5) FROM f", "NULL|NULL")
        .await;
    w.rows("SELECT count(NULL), array_agg(NULL) FROM f", "0|[, , ]").await;
    w.rows("SELECT corr(NULL, NULL), covar_pop(n, NULL), regr_slope(NULL, n) FROM f", "NULL|NULL|NULL").await;
}

#[tokio::test]
async fn calls_that_do_not_fit_say_so() {
    let w = World::new(&[("f", "SELECT TIMESTAMP '2020-01-01' AS ts, 's' AS s, make_array('1') AS l")]).await;
    for sql in ["SELECT median(ts) FROM f", "SELECT median(s) FROM f", "SELECT array_sum(l) FROM f"] {
        w.fails(sql, "No function matches").await;
    }
}

#[tokio::test]
async fn medians_of_decimals_are_exact() {
    let w = World::new(&[(
        "d",
        "SELECT CAST(a AS DECIMAL(3, 1)) AS a, CAST(b AS DECIMAL(38, 0)) AS b FROM (VALUES (1.5, \
         '99999999999999999999999999999999999999'), (2.0, '99999999999999999999999999999999999998'), (NULL, NULL)) v(a, b)",
    )])
    .await;
    w.typed(
        "SELECT median(a), median(b) FROM d",
        "1.75|99999999999999999999999999999999999999",
        "Decimal128(4, 2)|Decimal128(38, 0)",
    )
    .await;
    w.rows("SELECT median(a) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM d", "1.50;1.75;2.00")
        .await;
    w.rows("SELECT median(DISTINCT a) FROM (SELECT a FROM d UNION ALL SELECT a FROM d) q", "1.75").await;
}

#[tokio::test]
async fn statistics_over_distinct_values_and_pairs() {
    let t = "(VALUES (1, 1.0, 2.0), (1, 1.0, 2.0), (1, 2.0, 5.0), (1, 4.0, 4.0), (1, 4.0, NULL), (1, NULL, 3.0), \
             (1, 4.0, 4.0)) t(k, a, b)";
    let engine = Engine::new();
    // DuckDB's.
    let wanted = [
        ("corr(DISTINCT a, b)", 0.5),
        ("covar_pop(DISTINCT a, b)", 0.777_777_777_777_777_7),
        ("covar_samp(DISTINCT a, b)", 1.166_666_666_666_666_5),
        ("regr_slope(DISTINCT a, b)", 0.5),
        ("stddev(DISTINCT a)", 1.527_525_231_651_946_8),
        ("var_pop(DISTINCT a)", 1.555_555_555_555_555_6),
        ("var_samp(DISTINCT a)", 2.333_333_333_333_333_5),
        ("stddev_pop(DISTINCT b)", 1.118_033_988_749_895),
        ("regr_r2(DISTINCT a, b)", 0.25),
    ];
    for (call, wanted) in wanted {
        for sql in [
            format!("SELECT {call} FROM {t}"),
            format!("SELECT {call} FROM {t} GROUP BY k"),
            format!("SELECT {call} OVER () FROM {t} LIMIT 1"),
            format!("SELECT {call}, sum(a) AS s, count(*) AS n FROM {t} GROUP BY k"),
            format!("SELECT {call}, count(DISTINCT a) AS n FROM {t}"),
        ] {
            let rows = engine.try_rows(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let found = rows[0].split('|').next().unwrap().to_owned();
            assert!(
                found.parse::<f64>().is_ok_and(|f| (f / wanted - 1.0).abs() < 1e-12),
                "{sql}: {found}, not {wanted}"
            );
        }
    }
}

//! Variances and correlations of odd values: as the formulas say, in groups and without, in frames and merged.

use crate::world::World;

const NAN: &str = "CAST('NaN' AS DOUBLE)";

#[tokio::test]
async fn one_odd_value_has_no_spread() {
    let w = World::new(&[("t", &format!("SELECT * FROM (VALUES ({NAN}), (1e0), (2e0)) v(x)"))]).await;
    for odd in [NAN, "CAST('inf' AS DOUBLE)"] {
        let from = format!("(SELECT 1 AS k, {odd} AS x) q");
        w.rows(&format!("SELECT var_pop(x), stddev_pop(x), stddev(x) FROM {from}"), "NaN|NaN|NULL").await;
        w.rows(&format!("SELECT k, var_pop(x), stddev_pop(x) FROM {from} GROUP BY k"), "1|NaN|NaN").await;
    }
    w.rows(
        "SELECT var_pop(x) OVER (ORDER BY x ROWS BETWEEN CURRENT ROW AND CURRENT ROW) AS v FROM t ORDER BY x",
        "0.0;0.0;NaN",
    )
    .await;
    w.rows("SELECT var_pop(x), stddev_pop(x) FROM (SELECT 5e0 AS x) q", "0.0|0.0").await;
    w.rows("SELECT var_pop(x), corr(x, x), regr_r2(x, x) FROM t WHERE x < 0", "NULL|NULL|NULL").await;
}

#[tokio::test]
async fn correlations_follow_their_formulas() {
    let points = "SELECT * FROM (VALUES (1, 1000000001e0, 1e0), (1, 1000000002e0, 2e0), (1, 1000000003e0, 3.5e0),
        (2, 1e0, 2e0), (2, 2e0, 2e0), (3, 1e0, 2e0), (3, 1e0, 5e0), (4, CAST('NaN' AS DOUBLE), 2e0), (4, 1e0, 7e0),
        (5, NULL, 1e0), (6, 1e0, 1e0)) v(k, x, y)";
    let w = World::new(&[("t", points)]).await;
    // 2.5 / sqrt(2 * 19 / 6), and its square.
    let wanted = "1|0.993399|0.986842;2|NULL|1.0;3|NULL|NULL;4|NaN|NaN;5|NULL|NULL;6|NULL|NULL";
    w.rows("SELECT k, round(corr(x, y), 6), round(regr_r2(y, x), 6) FROM t GROUP BY k ORDER BY k", wanted).await;
    w.rows("SELECT round(corr(x, y), 6), round(regr_r2(y, x), 6) FROM t WHERE k = 1", "0.993399|0.986842").await;
    w.rows("SELECT corr(x, y), corr(y, x) FROM t WHERE k = 4", "NaN|NaN").await;
    w.rows("SELECT corr(x, y), regr_r2(y, x), regr_r2(x, y) FROM t WHERE k = 2", "NULL|1.0|NULL").await;
}
